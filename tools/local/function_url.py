"""The function URL: submits each request to the pool as an invocation, and streams its answer."""

from http import HTTPStatus

from local.exceptions import Throttled
from local.http1 import Connection, Request
from local.invocation import Invocation
from local.page import PATH, WithStrip
from local.pool import Pool

# The limit applies to the whole event, so a body in base64 may have three quarters of it.
MAX_EVENT_SIZE = 6 * 1024 * 1024
TOO_LARGE = {"message": f"The request must be smaller than {MAX_EVENT_SIZE} bytes as an event."}
THROTTLED = {
    "Reason": "ConcurrentInvocationLimitExceeded",
    "Type": "User",
    "message": "Rate Exceeded.",
}


class FunctionUrl:
    """Serves the function as a function URL does with InvokeMode RESPONSE_STREAM."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def __call__(self, connection: Connection, request: Request) -> None:
        """Answer one request."""
        body = await connection.receive_all(MAX_EVENT_SIZE)
        if len(body) > MAX_EVENT_SIZE:
            await connection.respond_json(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE)
            return
        client = WithStrip(connection) if request.path == PATH else connection
        invocation = Invocation(request, body, client)
        if len(invocation.event) > MAX_EVENT_SIZE:
            await connection.respond_json(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE)
            return
        try:
            await self._pool.submit(invocation)
        except Throttled:
            await connection.respond_json(HTTPStatus.TOO_MANY_REQUESTS, THROTTLED)
            return
        await invocation.answered.wait()
        if invocation.ended_unsent:
            error = b"Internal Server Error"
            await connection.respond(HTTPStatus.BAD_GATEWAY, "application/json", error)
