"""The chat page and the browser client: the files of `web/`."""

import hashlib
import html
import re
from functools import cache
from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import scripts
from app.api.deps import public
from app.settings import APP_NAME

router = APIRouter(include_in_schema=False)

_WEB = Path(__file__).parent.parent / "web"
_JAVASCRIPT = "text/javascript; charset=utf-8"
_MEDIA_TYPES = {
    "favicon.svg": "image/svg+xml",
    "page.css": "text/css; charset=utf-8",
    "page.js": _JAVASCRIPT,
}

# The page loads files of this origin only. It allows no inline code or style, no string as markup
# or code, no submission of a form (one holds an access token), and no frame in another page.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)

# Revalidated each time, so that a browser never mixes files of two deployments.
_REVALIDATED = {"Cache-Control": "no-cache"}
# The address contains the version, so a second visit takes one invocation: that for the page.
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}


_ACCENT = re.compile(rb"--accent: ([^;]+);")


@cache
def _content(name: str) -> bytes:
    """The file as it is served.

    The script of the page is all its modules. The style sheet does not reach the icon, so its
    colour is added.
    """
    if name == "page.js":
        return scripts.joined(_WEB, name).encode()
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
    """A digest of all assets together, because they fit each other."""
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
    """A file of the chat page. Any other version yields the current one, not to be cached."""
    if name not in _MEDIA_TYPES:
        raise HTTPException(404)
    headers = _IMMUTABLE if version == _version() else _REVALIDATED
    return Response(_content(name), media_type=_MEDIA_TYPES[name], headers=headers)


@router.get("/client.js")
@public
async def client() -> Response:
    """The browser client, for other pages; this page has it in its script."""
    return Response(_content("client.js"), media_type=_JAVASCRIPT, headers=_REVALIDATED)


class StageWithSlash:
    """ASGI middleware: redirects the path of a stage to the same path with a slash at the end.

    The relative addresses in the page need the slash. Starlette's own redirects are off, because
    they would repeat the Host and the query that a client sends.
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
