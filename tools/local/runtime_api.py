"""The Runtime API of one sandbox, over HTTP.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. Where that leaves details
open, this follows https://github.com/aws/aws-lambda-runtime-interface-emulator.
"""

import base64
import binascii
import json
from http import HTTPStatus

from local.answers import INTEGRATION_RESPONSE, Head, buffered_answer, split_prelude
from local.exceptions import FunctionError, MalformedAnswer, Refused, Truncated
from local.flight import Flight
from local.http1 import Connection, Request
from local.log import Log, named
from local.sandbox import TRUNCATED, Sandbox

INVOCATION_ID = "lambda-runtime-invocation-id"
RESPONSE_MODE = "lambda-runtime-function-response-mode"
ERROR_TYPE = "lambda-runtime-function-error-type"
ERROR_BODY = "lambda-runtime-function-error-body"


class RuntimeApi:
    """Serves one sandbox's runtime: delivers events and receives answers."""

    def __init__(self, sandbox: Sandbox, function_arn: str, log: Log) -> None:
        self._sandbox = sandbox
        self._function_arn = function_arn
        self._log = named(log, sandbox.name)

    async def __call__(self, connection: Connection, request: Request) -> None:
        """Answer one call."""
        try:
            await self._route(connection, request)
        except Refused as refusal:
            error = {"errorType": refusal.error_type, "errorMessage": str(refusal)}
            await connection.respond_json(refusal.status, error)

    async def _route(self, connection: Connection, request: Request) -> None:
        match [request.method, *request.path.split("/")]:
            case ["GET", "", "2018-06-01", "runtime", "invocation", "next"]:
                await self._next(connection)
                return
            case ["POST", "", "2018-06-01", "runtime", "invocation", request_id, "response"]:
                await self._response(connection, request, request_id)
            case ["POST", "", "2018-06-01", "runtime", "invocation", request_id, "error"]:
                await self._error(connection, request, request_id)
            case ["POST", "", "2018-06-01", "runtime", "init", "error"]:
                await self._init_error(connection, request)
            case ["GET", "", "2018-06-01", "runtime", "restore", "next"]:
                self._sandbox.restore()
                await connection.respond_json(HTTPStatus.OK, {})
                return
            case ["POST", "", "2018-06-01", "runtime", "restore", "error"]:
                await self._restore_error(connection, request)
            case _:
                raise Refused(HTTPStatus.NOT_FOUND, "NotFound", "no such call in the Runtime API")
        await connection.respond_json(HTTPStatus.ACCEPTED, {"status": "OK"})

    async def _next(self, connection: Connection) -> None:
        flight = await self._sandbox.next_flight()
        invocation = flight.invocation
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(invocation.event)),
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(flight.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self._function_arn,
            "Lambda-Runtime-Trace-Id": f"{invocation.trace_id};Parent=0000000000000000;Sampled=0",
            "Lambda-Runtime-Invocation-Id": invocation.invocation_id,
        }
        await connection.begin(HTTPStatus.OK, headers.items())
        await connection.send(invocation.event)
        await connection.end()

    async def _response(self, connection: Connection, request: Request, request_id: str) -> None:
        mode = request.header(RESPONSE_MODE)
        content_type = request.header("content-type", "application/octet-stream")
        if mode not in ("", "streaming"):
            message = f"response mode {mode!r} is unknown"
            raise Refused(HTTPStatus.BAD_REQUEST, "InvalidFunctionResponseMode", message)
        flight = self._sandbox.claim(request_id, request.header(INVOCATION_ID))
        try:
            if mode == "streaming" or content_type == INTEGRATION_RESPONSE:
                await self._stream(connection, flight, content_type)
            else:
                await self._buffered(connection, flight)
        except MalformedAnswer as error:
            self._fail(flight, "Function.InvalidResponse", str(error))
        except FunctionError as error:
            self._fail(flight, error.error_type, str(error))
        except Truncated as error:
            self._sandbox.break_off(flight)
            raise Refused(HTTPStatus.BAD_REQUEST, TRUNCATED, str(error)) from error

    async def _stream(self, connection: Connection, flight: Flight, content_type: str) -> None:
        head, body = Head(HTTPStatus.OK, (("content-type", content_type),)), b""
        if content_type == INTEGRATION_RESPONSE:
            head, body = await _prelude(connection)
        await flight.invocation.begin(head)
        await flight.invocation.send(body)
        while body := await connection.receive():
            await flight.invocation.send(body)
        _raise_trailers(connection)
        await flight.invocation.end()
        self._sandbox.complete(flight)

    async def _buffered(self, connection: Connection, flight: Flight) -> None:
        head, body = buffered_answer(await connection.receive_all())
        await flight.invocation.begin(head)
        await flight.invocation.send(body)
        await flight.invocation.end()
        self._sandbox.complete(flight)

    async def _error(self, connection: Connection, request: Request, request_id: str) -> None:
        flight = self._sandbox.claim(request_id, request.header(INVOCATION_ID))
        error_type = request.header(ERROR_TYPE, "Function.Unknown")
        self._fail(flight, error_type, _error_message(await connection.receive_all()))

    async def _init_error(self, connection: Connection, request: Request) -> None:
        self._sandbox.fail_init(*await self._reported(connection, request))

    async def _restore_error(self, connection: Connection, request: Request) -> None:
        self._sandbox.fail_restore(*await self._reported(connection, request))

    async def _reported(self, connection: Connection, request: Request) -> tuple[str, str]:
        """Log an error that is no invocation's; return its type and its message."""
        error_type = request.header(ERROR_TYPE, "Runtime.Unknown")
        message = _error_message(await connection.receive_all())
        self._log(f"Error: {error_type}: {message}")
        return error_type, message

    def _fail(self, flight: Flight, error_type: str, message: str) -> None:
        self._log(f"RequestId: {flight.request_id} Error: {error_type}: {message}")
        flight.invocation.fail()
        self._sandbox.complete(flight, error_type)


async def _prelude(connection: Connection) -> tuple[Head, bytes]:
    data = b""
    while (parted := split_prelude(data)) is None:
        more = await connection.receive()
        if not more:
            _raise_trailers(connection)
            raise MalformedAnswer("the answer ended within its prelude")
        data += more
    return parted


def _raise_trailers(connection: Connection) -> None:
    """Raise the error that the trailers report, if any; without trailers the answer succeeded."""
    error_type = connection.trailers.get(ERROR_TYPE)
    if error_type is not None:
        try:
            body = base64.b64decode(connection.trailers.get(ERROR_BODY, ""), validate=True)
        except binascii.Error:
            body = b"(the error body is not base64)"
        raise FunctionError(error_type, _error_message(body))


def _error_message(body: bytes) -> str:
    try:
        return str(json.loads(body)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")
