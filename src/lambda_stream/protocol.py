"""The wire format of the Lambda Runtime API, without I/O: bytes in, values out, and back.

Goals
    * Everything that decides which bytes are legal, and in which order, is in this file.
    * Nothing here knows a socket, so every byte of it can be tested as a literal.

The contract (AWS docs, runtimes-custom "Response streaming"): a streamed response is
`POST /runtime/invocation/{id}/response` with `Lambda-Runtime-Function-Response-Mode: streaming`
and `Transfer-Encoding: chunked`; behind a function URL or API Gateway its content type is
`application/vnd.awslambda.http-integration-response` and its body is a JSON prelude, eight NUL
bytes, then the bytes for the client. A failure after the first byte is told in two trailers that
the `Trailer` header announced, the error's body in base64 ("raw CR/LF would yield
Runtime.TruncatedResponse", aws-lambda-dotnet).
"""

import base64
import enum
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from traceback import FrameSummary, format_list

from lambda_stream.exceptions import GarbledResponse, PreludeTooLarge

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
# Function URLs name no limit; one bound for both keeps an application portable.
MAX_PRELUDE = 16 * 1024

# What Go's HTTP server, which the Runtime API is made with, reads of trailers: its buffer ("http:
# suspiciously long trailer after chunked body", net/http transfer.go). It refuses the response
# when they are longer, and the error would be lost.
MAX_TRAILERS = 4096

# "Lambda-Runtime-Function-XRay-Error-Cause … must be less than 1 MiB" (awslambdaric leaves it out
# from there on).
MAX_CAUSE = 1024 * 1024

# The Runtime API is trusted, yet a parser without a bound is a leak waiting for a bug.
MAX_HEAD = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Error:
    """A failure as Lambda reports it: to the caller, in the log and in traces.

    `frames` are those of the traceback, the innermost last.
    """

    type: str
    message: str
    frames: Sequence[FrameSummary] = ()
    request_id: str = ""

    def encode(self) -> bytes:
        """The JSON body that `/error` and `/init/error` expect."""
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
        """The JSON that X-Ray shows for a failed invocation (awslambdaric `make_xray_fault`)."""
        stack = [{"label": f.name, "path": f.filename, "line": f.lineno} for f in self.frames]
        return json.dumps(
            {
                "working_directory": directory,
                "exceptions": [{"message": self.message, "type": self.type, "stack": stack}],
                "paths": sorted({frame.filename for frame in self.frames}),
            }
        )

    def shortened(self) -> "Error":
        """The same without the outer half of its frames; if there are none, of its message."""
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
        """The prelude and its delimiter; raises PreludeTooLarge.

        A header that occurs twice is folded with a comma (RFC 9110 5.3): the prelude's headers
        are a JSON object, and function URLs read no `multiValueHeaders`.
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
    """A GET request for `path`, below the API's version."""
    return _head("GET", host, path, {})


def post(host: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A POST request whose body is known whole."""
    return _head("POST", host, path, {**headers, "Content-Length": str(len(body))}) + body


def _head(method: str, host: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {API}{path} HTTP/1.1", f"Host: {host}", f"User-Agent: {USER_AGENT}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class StreamState(enum.Enum):
    """Where a streamed response is.

    * **IDLE** - nothing is written: the invocation can still be answered in any other way.
    * **BODY** - the prelude is written; the client has a status.
    * **DONE** - the last chunk is written.
    * **FAILED** - error trailers are written instead of a good end.
    """

    IDLE = enum.auto()
    BODY = enum.auto()
    DONE = enum.auto()
    FAILED = enum.auto()


class StreamEncoder:
    """The bytes of one streamed response, in the only order that is legal.

    IDLE ─start─▶ BODY ─chunk─▶ BODY ─finish─▶ DONE
                    └────────fail──────────▶ FAILED
    """

    def __init__(self, host: str, request_id: str, invocation_id: str | None) -> None:
        self._host = host
        self._path = f"/invocation/{request_id}/response"
        self._invocation_id = invocation_id
        self.state = StreamState.IDLE

    def start(self, prelude: Prelude) -> bytes:
        """Head and prelude; raises PreludeTooLarge, and then nothing has been started."""
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
        """One HTTP chunk. `data` must not be empty: an empty chunk would end the body."""
        self._require(StreamState.BODY)
        return _chunk(data)

    def finish(self) -> bytes:
        """The good end."""
        self._require(StreamState.BODY)
        self.state = StreamState.DONE
        return b"0\r\n\r\n"

    def fail(self, error: Error) -> bytes:
        """The bad end: last chunk and the two error trailers, the error shortened to fit them."""
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


# Responses


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of the Runtime API; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def keep_alive(self) -> bool:
        """Whether another request may follow on the same connection."""
        return self.headers.get("connection", "").lower() != "close"


class ResponseDecoder:
    """Puts one HTTP/1.1 response together from the pieces a socket delivers.

    Bodies are delimited by Content-Length or chunked: Go's server, which the Runtime API is
    made with, uses the second for any event over two kilobytes.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: tuple[int, dict[str, str]] | None = None
        self._body = bytearray()

    @property
    def started(self) -> bool:
        """Whether any byte of the response has arrived."""
        return bool(self._buffer) or self._head is not None

    def feed(self, data: bytes) -> Response | None:
        """Take what arrived; the response once it is complete. Raises GarbledResponse."""
        self._buffer += data
        if self._head is None:
            self._head = self._take_head()
            if self._head is None:
                return None
        status, headers = self._head
        chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        complete = self._take_chunks() if chunked else self._take_length(headers)
        return Response(status, headers, bytes(self._body)) if complete else None

    def _take_head(self) -> tuple[int, dict[str, str]] | None:
        end = self._find(b"\r\n\r\n", "headers")
        if end < 0:
            return None
        # Not Latin-1 as in HTTP: the context headers hold JSON, and that is UTF-8.
        status_line, *lines = self._buffer[:end].decode(errors="replace").split("\r\n")
        del self._buffer[: end + 4]
        if not re.match(r"HTTP/1\.[01] [0-9]{3}( |$)", status_line):
            raise _garbled(f"a status line {status_line[:80]!r}")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return int(status_line[9:12]), headers

    def _take_length(self, headers: Mapping[str, str]) -> bool:
        length = headers.get("content-length", "0")
        if not re.fullmatch("[0-9]+", length):
            raise _garbled(f"a Content-Length of {length[:80]!r}")
        if len(self._buffer) < int(length):
            return False
        self._body += self._buffer[: int(length)]
        return True

    def _take_chunks(self) -> bool:
        while True:
            line_end = self._find(b"\r\n", "a chunk size")
            if line_end < 0:
                return False
            size = _chunk_size(bytes(self._buffer[:line_end]))
            if size == 0:
                # Trailers are of no interest; the message ends with the first empty line.
                return self._find(b"\r\n\r\n", "trailers", line_end) >= 0
            end = line_end + 2 + size + 2
            if len(self._buffer) < end:
                return False
            self._body += self._buffer[line_end + 2 : end - 2]
            del self._buffer[:end]

    def _find(self, end: bytes, what: str, start: int = 0) -> int:
        """Where `end` is, or -1 if it has yet to arrive."""
        found = self._buffer.find(end, start)
        if found < 0 and len(self._buffer) > MAX_HEAD:
            raise _garbled(f"{what} without an end")
        return found


def _chunk_size(line: bytes) -> int:
    size = line.partition(b";")[0].strip()
    if not re.fullmatch(b"[0-9a-fA-F]+", size):
        raise _garbled(f"a chunk size of {size[:80]!r}")
    return int(size, 16)


def _garbled(what: str) -> GarbledResponse:
    return GarbledResponse(f"the Runtime API sent {what}")
