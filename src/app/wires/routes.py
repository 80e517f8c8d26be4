"""The classes of a wire's routes: their errors have the shape that the wire's clients read."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from app.api import bodies, errors
from app.api.deps import admit_creator

ErrorShape = Callable[[errors.Told], Response]


def creating(shape: ErrorShape) -> type[APIRoute]:
    """The class of routes that create streams: the caller is checked before the body is read."""
    return _shaped(bodies.bounded(admit_creator), shape)


def plain(shape: ErrorShape) -> type[APIRoute]:
    """The class of all other routes."""
    return _shaped(APIRoute, shape)


def _shaped(base: type[APIRoute], shape: ErrorShape) -> type[APIRoute]:
    class ShapedRoute(base):  # type: ignore[valid-type, misc]
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_and_shape(request: Request) -> Response:
                try:
                    response: Response = await handle(request)
                except errors.TELLABLE as error:
                    return shape(errors.told(error))
                return response

            return handle_and_shape

    return ShapedRoute
