"""Headers of every answer, and those that let other origins in."""

from collections.abc import Sequence
from typing import TypedDict

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import kinds

DOCS = "/docs"

_ALWAYS = {
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
}
_NOTHING_TO_RUN = "default-src 'none'; frame-ancestors 'none'"

# FastAPI's page for trying the API out loads these.
_SWAGGER = (
    "default-src 'none'; script-src https://cdn.jsdelivr.net 'unsafe-inline'; "
    "style-src https://cdn.jsdelivr.net; img-src data: https://fastapi.tiangolo.com; "
    "connect-src 'self'; frame-ancestors 'none'"
)


class SecurityHeaders:
    """ASGI middleware: no guessed types, no caching, no referrers, no scripts.

    An answer that sets these headers itself, as the chat page does, keeps its own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the headers to its answer."""
        policy = _SWAGGER if scope.get("path", "").endswith(DOCS) else _NOTHING_TO_RUN

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", policy)
                headers.setdefault("Cache-Control", "no-store")
                headers.update(_ALWAYS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class CrossOrigin(TypedDict):
    """The arguments of Starlette's CORSMiddleware."""

    allow_origins: Sequence[str]
    allow_methods: Sequence[str]
    allow_headers: Sequence[str]
    expose_headers: Sequence[str]


def cross_origin(origins: Sequence[str]) -> CrossOrigin:
    """Let pages of these origins use the API, without cookies.

    An EventSource sends Last-Event-ID without a preflight; fetch() makes one.
    """
    return CrossOrigin(
        allow_origins=origins,
        allow_methods=["GET", "POST", "DELETE"],
        # SDKs send headers of their own, a dozen some of them.
        allow_headers=["*"],
        expose_headers=[
            kinds.HEADER,
            "Location",
            "Retry-After",
            "X-Request-Id",
            "X-Should-Retry",
            "X-Workflow-Run-Id",
            "X-Workflow-Stream-Tail-Index",
        ],
    )
