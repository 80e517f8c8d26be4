"""Errors in the shape that OpenAI's SDKs turn into the right exceptions.

The statuses and the headers are those that the Python SDK 3.57.0 and the Node SDK 7.59.0 obey.
"""

from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from app.api.errors import Told
from app.wires import routes
from app.wires.frames import compact
from app.wires.rendering import Json
from durable_stream import StreamNotFound

_NO_RESPONSE = "There is no such response, or it has expired: create a new one."

# A retry that is due later than this does not help: the SDKs wait for up to 120 seconds.
_LONGEST_WAIT = 120

_TYPES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}


class JsonAnswer(JSONResponse):
    """An answer in JSON, escaped to ASCII: half a surrogate pair has no other form."""

    def render(self, content: Any) -> bytes:
        """The bytes of the body."""
        return compact(content).encode()


def error(
    code: str, message: str, *, type_: str = "server_error", param: str | None = None
) -> Json:
    """The body of an error, in an answer or among the events of one."""
    return {"error": {"message": message, "type": type_, "code": code, "param": param}}


def shape(told: Told) -> Response:
    """The answer for an error."""
    status, code, message = told.status, told.code, told.message
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        status = HTTPStatus.BAD_REQUEST  # As OpenAI answers for any invalid member.
    if code == StreamNotFound.code:
        code, message = "response_not_found", _NO_RESPONSE
    headers = dict(told.headers)
    is_final = status == HTTPStatus.INTERNAL_SERVER_ERROR  # Trouble that passes is a 503.
    if is_final or int(headers.get("Retry-After", 0)) > _LONGEST_WAIT:
        headers["x-should-retry"] = "false"
    server = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    usual = "server_error" if server else "invalid_request_error"
    type_ = _TYPES.get(status, usual)
    body = error(code, message, type_=type_, param=told.param)
    return JsonAnswer(body, status, headers)


def identified(base: type[APIRoute]) -> type[APIRoute]:
    """The class of routes whose answers carry `x-request-id`: on Lambda, that of the log."""

    class IdentifiedRoute(base):  # type: ignore[valid-type, misc]
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_and_identify(request: Request) -> Response:
                response: Response = await handle(request)
                invocation = request.scope.get("aws.context")
                id_ = uuid4().hex if invocation is None else invocation.aws_request_id
                response.headers["x-request-id"] = id_
                return response

            return handle_and_identify

    return IdentifiedRoute


CREATING = identified(routes.creating(shape))
PLAIN = identified(routes.plain(shape))
