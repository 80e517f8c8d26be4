"""Encodes requests to the Lambda Runtime API, without I/O: values in, bytes out.

This file alone decides which bytes are sent and in which order; `response.py` decodes what the API
returns. Neither knows a socket, so every byte can be tested as a literal.

The contract (AWS docs, runtimes-custom "Response streaming"): a streamed response is
`POST /runtime/invocation/{id}/response` with `Lambda-Runtime-Function-Response-Mode: streaming`
and `Transfer-Encoding: chunked`; behind a function URL or API Gateway its content type is
`application/vnd.awslambda.http-integration-response` and its body is a JSON prelude, eight NUL
bytes, then the bytes for the client. A failure after the first byte is reported in two trailers
that the `Trailer` header announces, with the error's body in base64 ("raw CR/LF would yield
Runtime.TruncatedResponse", aws-lambda-dotnet).
"""

import base64
import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from traceback import FrameSummary, format_list

from lambda_stream.exceptions import PreludeTooLarge

API = "/2018-06-01/runtime"
USER_AGENT = "lambda-stream"

HTTP_INTEGRATION_RESPONSE = "application/vnd.awslambda.http-integration-response"
JSON = "application/json"

INVOCATION_ID = "Lambda-Runtime-Invocation-Id"
RESPONSE_MODE = "Lambda-Runtime-Function-Response-Mode"
ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
ERROR_BODY = "Lambda-Runtime-Function-Error-Body"
ERROR_CAUSE = "Lambda-Runtime-Function-XRay-Error-Cause"

PRELUDE_END = b"\0" * 8

# "within the first 16KB of stream data" (AWS docs, API Gateway response-transfer-mode-lambda).
# AWS documents no limit for function URLs; one bound for both keeps an application portable.
MAX_PRELUDE = 16 * 1024

# The Runtime API is a Go server, which refuses a response with longer trailers than its buffer
# ("http: suspiciously long trailer after chunked body", net/http transfer.go). Then the error
# would be lost.
MAX_TRAILERS = 4096

# awslambdaric omits a cause of this size or more, since a header must stay below it.
MAX_CAUSE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Error:
    """A failure as Lambda reports it: to the caller, in the function's log and in traces.

    `frames` is the traceback, the innermost frame last.
    """

    type: str
    message: str
    frames: Sequence[FrameSummary] = ()
    request_id: str = ""

    def encode(self) -> bytes:
        """Return the JSON body that `/error` and `/init/error` expect."""
        return json.dumps(
            {
                "errorMessage": self.message,
                "errorType": self.type,
                "requestId": self.request_id,
                "stackTrace": format_list(list(self.frames)),
            }
        ).encode()

    @property
    def header(self) -> str:
        """The `category.reason` form: Lambda maps every other form to `Unknown`."""
        name = self.type if "." in self.type else f"Function.{self.type}"
        return name.encode("ascii", "replace").decode()

    def cause(self, directory: str) -> str:
        """Return the JSON that X-Ray shows for a failure (awslambdaric `make_xray_fault`)."""
        stack = [{"label": f.name, "path": f.filename, "line": f.lineno} for f in self.frames]
        return json.dumps(
            {
                "working_directory": directory,
                "exceptions": [{"message": self.message, "type": self.type, "stack": stack}],
                "paths": sorted({frame.filename for frame in self.frames}),
            }
        )

    def shortened(self) -> "Error":
        """Drop the outer half of the frames, or half of the message if no frame is left."""
        if self.frames:
            return replace(self, frames=self.frames[(len(self.frames) + 1) // 2 :])
        return replace(self, message=self.message[: len(self.message) // 2])


@dataclass(frozen=True, slots=True)
class Prelude:
    """Status, headers and cookies of a streamed HTTP response."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    cookies: Sequence[str] = ()

    def encode(self) -> bytes:
        """Return the prelude and its delimiter; raises PreludeTooLarge.

        A repeated header is joined with a comma (RFC 9110 5.3), because the prelude's headers are
        a JSON object, and function URLs ignore `multiValueHeaders`.
        """
        headers: dict[str, str] = {}
        for name, text in self.headers:
            headers[name] = f"{headers[name]},{text}" if name in headers else text
        value: dict[str, object] = {"statusCode": self.status, "headers": headers}
        if self.cookies:
            value["cookies"] = list(self.cookies)
        # ASCII JSON escapes control characters, so no NUL can end the prelude early.
        encoded = json.dumps(value).encode("ascii") + PRELUDE_END
        if len(encoded) > MAX_PRELUDE:
            raise PreludeTooLarge(
                f"status, headers and cookies take {len(encoded)} bytes; Lambda reads at most "
                f"{MAX_PRELUDE}: send fewer or shorter response headers"
            )
        return encoded


# Requests


def get(host: str, path: str) -> bytes:
    """Encode a GET request; `path` is relative to the API's version."""
    return _head("GET", host, path, {})


def post(host: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Encode a POST request with a complete body."""
    return _head("POST", host, path, {**headers, "Content-Length": str(len(body))}) + body


def _head(method: str, host: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {API}{path} HTTP/1.1", f"Host: {host}", f"User-Agent: {USER_AGENT}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class StreamState(enum.Enum):
    """The state of a streamed response.

    * **IDLE** - nothing is written: the invocation can still be answered in any other way.
    * **BODY** - the prelude is written; the client has a status.
    * **DONE** - the last chunk is written.
    * **FAILED** - error trailers are written in place of the last chunk.
    """

    IDLE = enum.auto()
    BODY = enum.auto()
    DONE = enum.auto()
    FAILED = enum.auto()


class StreamEncoder:
    """Encodes one streamed response, and enforces the only legal order.

    IDLE ─start─▶ BODY ─chunk─▶ BODY ─finish─▶ DONE
                    └────────fail──────────▶ FAILED
    """

    def __init__(self, host: str, request_id: str, invocation_id: str | None) -> None:
        self._host = host
        self._path = f"/invocation/{request_id}/response"
        self._invocation_id = invocation_id
        self.state = StreamState.IDLE

    def start(self, prelude: Prelude) -> bytes:
        """Encode head and prelude; raises PreludeTooLarge and stays IDLE."""
        self._require(StreamState.IDLE)
        encoded = prelude.encode()
        headers = {
            RESPONSE_MODE: "streaming",
            "Transfer-Encoding": "chunked",
            "Trailer": f"{ERROR_TYPE}, {ERROR_BODY}",
            "Content-Type": HTTP_INTEGRATION_RESPONSE,
        }
        if self._invocation_id is not None:
            headers[INVOCATION_ID] = self._invocation_id
        self.state = StreamState.BODY
        return _head("POST", self._host, self._path, headers) + _chunk(encoded)

    def chunk(self, data: bytes) -> bytes:
        """Encode one HTTP chunk. `data` must not be empty: an empty chunk would end the body."""
        self._require(StreamState.BODY)
        return _chunk(data)

    def finish(self) -> bytes:
        """Encode the end of a complete response."""
        self._require(StreamState.BODY)
        self.state = StreamState.DONE
        return b"0\r\n\r\n"

    def fail(self, error: Error) -> bytes:
        """Encode the end of a failed response: two error trailers, shortened until they fit."""
        self._require(StreamState.BODY)
        self.state = StreamState.FAILED
        while len(trailers := _trailers(error)) > MAX_TRAILERS and (error.frames or error.message):
            error = error.shortened()
        return b"0\r\n" + trailers

    def _require(self, state: StreamState) -> None:
        if self.state is not state:
            raise ValueError(f"the response must be {state.name}, but it is {self.state.name}")


def _trailers(error: Error) -> bytes:
    body = base64.b64encode(error.encode()).decode("ascii")
    return f"{ERROR_TYPE}: {error.header}\r\n{ERROR_BODY}: {body}\r\n\r\n".encode("ascii")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
