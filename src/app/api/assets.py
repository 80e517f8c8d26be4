"""The chat page and the browser client, as they lie in `web/`."""

import hashlib
import html
import re
from functools import cache
from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.deps import public
from app.settings import APP_NAME

router = APIRouter(include_in_schema=False)

_WEB = Path(__file__).parent.parent / "web"
_JAVASCRIPT = "text/javascript; charset=utf-8"
_MEDIA_TYPES = {
    "access.js": _JAVASCRIPT,
    "client.js": _JAVASCRIPT,
    "elements.js": _JAVASCRIPT,
    "favicon.svg": "image/svg+xml",
    "page.css": "text/css; charset=utf-8",
    "page.js": _JAVASCRIPT,
    "reading.js": _JAVASCRIPT,
    "texts.js": _JAVASCRIPT,
    "views.js": _JAVASCRIPT,
}

# What the page is made of comes from this origin, as files. Nothing in the page is code or style,
# no string becomes markup or code, no form sends itself (one holds an access token), and no other
# page shows this one in a frame.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)

# Revalidated each time: a deployment must not leave a browser with half of the old page.
_REVALIDATED = {"Cache-Control": "no-cache"}
# Its address changes with it, so that coming back takes one invocation, which is for the page.
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}


_ACCENT = re.compile(rb"--accent: ([^;]+);")


@cache
def _content(name: str) -> bytes:
    """The file as it is served: an icon is an image of its own, so it gets its colour here."""
    content = (_WEB / name).read_bytes()
    if name == "favicon.svg":
        return content.replace(b"<svg", b'<svg color="%s"' % _accent(), 1)
    return content


def _accent() -> bytes:
    match = _ACCENT.search((_WEB / "page.css").read_bytes())
    if match is None:
        raise ValueError("page.css sets no `--accent: …;`: the icon needs its colour")
    return match[1]


@cache
def _version() -> str:
    """A digest of all assets. One for all, because a script imports its neighbour."""
    return hashlib.sha256(b"".join(map(_content, _MEDIA_TYPES))).hexdigest()[:16]


@cache
def _page() -> bytes:
    """The page, with the product's name, and with addresses of the assets of this version."""
    page = _content("index.html").decode().replace("APP_NAME", html.escape(APP_NAME))
    for name in _MEDIA_TYPES:
        page = page.replace(f'"{name}"', f'"assets/{_version()}/{name}"')
    return page.encode()


@router.get("/")
@public
async def page() -> Response:
    """The chat page."""
    headers = {"Content-Security-Policy": _POLICY, **_REVALIDATED}
    return Response(_page(), media_type="text/html; charset=utf-8", headers=headers)


@router.get("/assets/{version}/{name}")
@public
async def asset(version: str, name: str) -> Response:
    """A part of the chat page. For another version than this there is this one, not to be kept."""
    if name not in _MEDIA_TYPES:
        raise HTTPException(404)
    headers = _IMMUTABLE if version == _version() else _REVALIDATED
    return Response(_content(name), media_type=_MEDIA_TYPES[name], headers=headers)


@router.get("/client.js")
@public
async def client() -> Response:
    """The browser client, for other pages."""
    return Response(_content("client.js"), media_type=_JAVASCRIPT, headers=_REVALIDATED)


class StageWithSlash:
    """ASGI middleware: a stage that is asked for without its slash leads to the one with it.

    The page's relative addresses lead astray without it. Starlette's own redirects, which are
    off, would repeat whatever Host and query a client sends.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Redirect, or pass the request on."""
        root = scope.get("root_path", "")
        if scope["type"] == "http" and root and scope["path"] == root:
            stage = quote(root.rpartition("/")[2])
            await Response(status_code=307, headers={"Location": f"./{stage}/"})(
                scope, receive, send
            )
        else:
            await self._app(scope, receive, send)
