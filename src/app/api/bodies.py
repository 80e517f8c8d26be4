"""The bodies of requests: their sender is checked first, then their size, then their contents.

FastAPI parses a body before it looks at anything else of a request, and an error in it may cost
many times the weight of the body.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message

from app.exceptions import RequestRefused


def bounded(admit: Callable[[Request], Awaitable[None]]) -> type[APIRoute]:
    """The class of routes that take a body of the settings' size, after `admit` has returned."""

    class BoundedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def admit_and_handle(request: Request) -> Response:
                await admit(request)
                body = await _read(request, request.state.settings.prompts.max_body_bytes)

                async def receive() -> Message:
                    return {"type": "http.request", "body": body, "more_body": False}

                return await handle(Request(request.scope, receive))

            return admit_and_handle

    return BoundedRoute


async def _read(request: Request, most: int) -> bytes:
    """The body; raises RequestRefused as soon as it is longer than `most` bytes."""
    body = bytearray()
    async for piece in request.stream():
        if len(body) + len(piece) > most:
            raise RequestRefused(
                413,
                "body_too_large",
                f"The body is too large: at most {most} bytes are taken. Shorten the prompt.",
            )
        body += piece
    return bytes(body)
