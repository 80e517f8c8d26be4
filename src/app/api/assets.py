"""The chat page and the browser client, as they lie in `web/`."""

from functools import cache
from pathlib import Path

from fastapi import APIRouter, Response

router = APIRouter(include_in_schema=False)

_WEB = Path(__file__).parent.parent / "web"
_JAVASCRIPT = "text/javascript; charset=utf-8"


@cache
def _content(name: str) -> bytes:
    return (_WEB / name).read_bytes()


def _asset(name: str, media_type: str) -> Response:
    # Revalidated each time: a deployment must not leave a browser with half of the old page.
    return Response(_content(name), media_type=media_type, headers={"Cache-Control": "no-cache"})


@router.get("/")
async def page() -> Response:
    """The chat page."""
    return _asset("index.html", "text/html; charset=utf-8")


@router.get("/page.js")
async def page_script() -> Response:
    """The chat page's own script."""
    return _asset("page.js", _JAVASCRIPT)


@router.get("/page.css")
async def page_style() -> Response:
    """The chat page's style."""
    return _asset("page.css", "text/css; charset=utf-8")


@router.get("/client.js")
async def client() -> Response:
    """The browser client, for this page and others."""
    return _asset("client.js", _JAVASCRIPT)


@router.get("/favicon.svg")
async def favicon() -> Response:
    """The page's icon."""
    return _asset("favicon.svg", "image/svg+xml")
