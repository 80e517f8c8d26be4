"""The files of the page as a browser receives them, and their headers."""

import html
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.api import assets
from app.settings import APP_NAME

pytestmark = pytest.mark.anyio

WEB = Path(__file__).parents[2] / "src/app/web"
ACCENT = (WEB / "page.css").read_text().partition("--accent: ")[2].partition(";")[0]
KEPT = "public, max-age=31536000, immutable"


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(assets.router)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        yield http


async def parts(http: httpx.AsyncClient) -> dict[str, str]:
    """The addresses in the page, each with the name of its file."""
    page = (await http.get("/")).text
    addresses = re.findall(r'(?:href|src)="([^"]+)"', page)
    return {address: address.rpartition("/")[2] for address in addresses}


async def test_the_page_is_made_of_the_files_beside_it(http: httpx.AsyncClient) -> None:
    """The addresses are relative, because the page may be below a stage."""
    named = await parts(http)
    assert sorted(named.values()) == ["favicon.svg", "page.css", "page.js"]
    for address, name in named.items():
        assert re.fullmatch(rf"assets/[0-9a-f]{{16}}/{re.escape(name)}", address)
        answer = await http.get(f"/{address}")
        assert answer.headers["cache-control"] == KEPT
        if name != "page.js":
            assert answer.text.replace(f' color="{ACCENT}"', "") == (WEB / name).read_text()


async def test_the_script_of_the_page_has_every_module_once(http: httpx.AsyncClient) -> None:
    script = (await http.get("/assets/any/page.js")).text
    for path in WEB.glob("*.js"):
        body = re.split(r"^import \{[^{}]*\} from .*$", path.read_text(), flags=re.MULTILINE)[-1]
        assert script.count(re.sub(r"^export ", "", body, flags=re.MULTILINE)) == 1, path.name


async def test_the_client_is_served_as_it_is(http: httpx.AsyncClient) -> None:
    assert (await http.get("/client.js")).content == (WEB / "client.js").read_bytes()


async def test_the_page_and_its_title_have_the_name_that_the_settings_give(
    http: httpx.AsyncClient,
) -> None:
    page = (await http.get("/")).text
    name = html.escape(APP_NAME)
    assert f"<title>{name}</title>" in page
    assert f"/>{name}</p>" in page
    assert "APP_NAME" not in page


async def test_the_icon_has_the_accent_colour_of_the_style_sheet(http: httpx.AsyncClient) -> None:
    icon = (await http.get("/assets/any/favicon.svg")).text
    assert icon.startswith(f'<svg color="{ACCENT}" ')
    assert "currentColor" in icon


def test_the_name_and_the_colour_are_written_in_one_file_each() -> None:
    app = WEB.parent
    texts = {
        path.relative_to(app).as_posix(): path.read_text()
        for path in app.rglob("*.*")
        if path.suffix in {".css", ".html", ".js", ".py", ".svg"}
    }
    for text, file in ((APP_NAME, "settings.py"), (ACCENT, "web/page.css")):
        assert [name for name, content in texts.items() if text in content] == [file]
    for colour in re.findall(r"#[0-9a-f]+", ACCENT):
        assert sum(content.count(colour) for content in texts.values()) == 1


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("page.js", "text/javascript; charset=utf-8"),
        ("page.css", "text/css; charset=utf-8"),
        ("favicon.svg", "image/svg+xml"),
    ],
)
async def test_a_file_says_what_it_is(http: httpx.AsyncClient, name: str, media_type: str) -> None:
    answer = await http.get(f"/assets/any/{name}")
    assert answer.headers["content-type"] == media_type


async def test_a_page_from_before_a_deployment_gets_what_there_is_but_does_not_keep_it(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.get("/assets/0123456789abcdef/page.css")
    assert answer.content == (WEB / "page.css").read_bytes()
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["parts.js", "index.html", "..%2Findex.html", "%2Fetc%2Fpasswd"])
async def test_nothing_else_can_be_read(http: httpx.AsyncClient, name: str) -> None:
    assert (await http.get(f"/assets/any/{name}")).status_code == 404


@pytest.mark.parametrize("path", ["/", "/client.js"])
async def test_what_keeps_its_address_is_asked_for_again(
    http: httpx.AsyncClient, path: str
) -> None:
    assert (await http.get(path)).headers["cache-control"] == "no-cache"


async def test_the_page_may_load_only_from_its_own_origin_and_run_nothing_inline(
    http: httpx.AsyncClient,
) -> None:
    policy = (await http.get("/")).headers["content-security-policy"]
    directives = dict(directive.split(" ", 1) for directive in policy.split("; "))
    assert directives == {
        "default-src": "'none'",
        **dict.fromkeys(("script-src", "style-src", "img-src", "connect-src"), "'self'"),
        **dict.fromkeys(("form-action", "base-uri", "frame-ancestors"), "'none'"),
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
