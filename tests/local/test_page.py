"""The strip that the emulator adds to the chat page, on the way through the function URL."""

import asyncio

import httpx
import pytest

from local.options import PROJECT
from local.page import STRIP
from tests.local.conftest import Emulate, Emulator

pytestmark = pytest.mark.anyio

HTML = "text/html; charset=utf-8"
PAGE = "<!doctype html><html><head><title>é</title></head><body></body></html>"
WITH_STRIP = PAGE.replace("</head>", f"{STRIP.decode()}</head>")


async def answered(
    emulator: Emulator,
    headers: dict[str, str],
    body: str = PAGE,
    address: str = "/",
    status: int = 200,
) -> httpx.Response:
    """The answer to a request whose body tells the function its answer."""
    answer = {"statusCode": status, "body": body, "headers": headers}
    return await emulator.client.post(address, json=answer)


async def test_the_page_gets_the_strip(emulate: Emulate) -> None:
    async with emulate() as emulator:
        for address in ("/", "/?stream=a"):
            page = await answered(emulator, {"content-type": HTML}, PAGE, address)
            assert page.text == WITH_STRIP


@pytest.mark.parametrize(
    ("address", "status", "media_type"),
    [
        ("/json", 200, HTML),
        ("/", 404, HTML),
        ("/", 304, HTML),
        ("/", 200, "text/plain"),
        ("/", 200, "text/htmlx"),
        ("/", 200, ""),
    ],
)
async def test_any_other_answer_stays_as_it_is(
    emulate: Emulate, address: str, status: int, media_type: str
) -> None:
    async with emulate() as emulator:
        named = {"content-type": media_type, "content-length": "81", "etag": '"1"'}
        answer = await answered(emulator, named, PAGE, address, status)
    assert answer.text == ("" if status == 304 else PAGE)
    assert answer.headers["x-amzn-remapped-content-length"] == "81"
    assert answer.headers["etag"] == '"1"'


async def test_an_answer_in_a_content_coding_stays_as_it_is(emulate: Emulate) -> None:
    async with emulate() as emulator:
        named = {"content-type": HTML, "content-encoding": "identity"}
        assert (await answered(emulator, named)).text == PAGE


@pytest.mark.parametrize("body", ["", "<p>no head", "<head></hea"])
async def test_html_without_the_end_of_a_head_arrives_whole(emulate: Emulate, body: str) -> None:
    async with emulate() as emulator:
        assert (await answered(emulator, {"content-type": HTML}, body)).text == body


async def test_the_page_does_not_declare_the_length_that_it_had(emulate: Emulate) -> None:
    """For a HEAD neither, whose answer has no body that would be longer."""
    async with emulate() as emulator:
        named = {"content-type": HTML, "content-length": str(len(PAGE.encode()))}
        page = await answered(emulator, named)
        assert not [name for name in page.headers if "content-length" in name]
        pending = asyncio.create_task(emulator.client.head("/"))
        for word in ("one", "two"):
            (await emulator.gate.expect(word))()
        head = await pending
        assert (head.status_code, head.content) == (200, b"")
        assert not [name for name in head.headers if "content-length" in name]
        assert (await emulator.client.get("/pid")).is_success, "the connection is usable"


async def test_a_page_that_arrives_in_pieces_gets_the_strip_once_and_at_once(
    emulate: Emulate,
) -> None:
    async with emulate() as emulator, emulator.client.stream("GET", "/") as page:
        chunks = page.aiter_raw()
        (await emulator.gate.expect("one"))()
        proceed = await emulator.gate.expect("two")
        assert await anext(chunks) == b"<head>" + STRIP + b"</head><head>"
        proceed()
        assert [chunk async for chunk in chunks] == [b"</head>"]


async def test_the_projects_own_page_gets_the_strip_and_keeps_its_policy(
    emulate: Emulate,
) -> None:
    async with emulate(task_root=PROJECT / "src") as emulator:
        page = await emulator.client.get("/")
        script = await emulator.client.get("/_local/strip.js")
        style = await emulator.client.get("/_local/strip.css")
        client = await emulator.client.get("/client.js")
    assert page.text.count("/_local/strip.js") == 1
    assert "script-src 'self'; style-src 'self'" in page.headers["content-security-policy"]
    assert (script.status_code, script.headers["content-type"]) == (
        200,
        "text/javascript; charset=utf-8",
    )
    assert (style.status_code, style.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "_local" not in client.text
