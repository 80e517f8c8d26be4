"""A request that is not refused as it should be is found."""

import httpx
import pytest

from proof.chaos.client import Client
from proof.chaos.hostile import be_hostile, be_late

pytestmark = pytest.mark.anyio

STREAM, OTHER = "ab" * 16, "cd" * 16
END = 7


def careful(request: httpx.Request) -> httpx.Response:
    """The application's answer, for a stream of eight records."""
    if request.method == "POST":
        return httpx.Response(201, json={"id": OTHER})
    cursor = request.headers.get("Last-Event-ID") or request.url.params["last_event_id"]
    if request.url.path == f"/streams/{STREAM[::-1]}/events":
        return httpx.Response(404)
    return httpx.Response(204 if cursor.removesuffix(":end") == f"{STREAM}:{END}" else 400)


def client(answer: httpx.MockTransport) -> Client:
    http = httpx.AsyncClient(transport=answer)
    return Client(http, ["http://a"], note=lambda _: None)


async def test_what_is_refused_is_right() -> None:
    asked = client(httpx.MockTransport(careful))

    assert await be_hostile(asked, STREAM, 1) == []
    assert await be_late(asked, f"{STREAM}:{END}:end") == []


@pytest.mark.parametrize("cursor", ["garbage", f"{STREAM}:01", f"{OTHER}:0"])
@pytest.mark.parametrize("where", ["header", "query"])
async def test_a_cursor_that_is_resumed_is_found(cursor: str, where: str) -> None:
    def careless(request: httpx.Request) -> httpx.Response:
        by_header = request.headers.get("Last-Event-ID") == cursor and where == "header"
        by_query = request.url.params.get("last_event_id") == cursor and where == "query"
        taken = request.url.path.startswith("/streams/") and (by_header or by_query)
        return httpx.Response(200, text="data: x\n\n") if taken else careful(request)

    (wrong,) = await be_hostile(client(httpx.MockTransport(careless)), STREAM, 1)
    assert wrong.startswith(f"cursor {cursor!r}: 200 ")


async def test_an_end_that_is_given_again_is_found() -> None:
    def careless(request: httpx.Request) -> httpx.Response:
        answer = careful(request)
        return httpx.Response(200, text="data: x\n\n") if answer.status_code == 204 else answer

    wrong = await be_late(client(httpx.MockTransport(careless)), f"{STREAM}:{END}:end")
    assert len(wrong) == 4, "marked and not, by the header and by the query"
