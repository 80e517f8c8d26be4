"""A stream's own token proves that the stream exists: the answer begins before the log is read."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import Message

from app import parts
from app.application import create_app
from app.models.demo import DemoProvider
from app.settings import Settings
from durable_stream import Streams
from durable_stream.dynamodb import DynamoDBStore
from tests.app.public import TOKENS, WEBSITE, bearer
from tests.store import Fault, FaultyStore

pytestmark = pytest.mark.anyio

HEAD = ["http.response.start", "http.response.body"]
RETRY = b"retry: 300\n"
ENDS = ["{url}", "/sse?prompt=hello&token={token}"]


class Asked:
    """An answer that is under way."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def sent(self, number: int) -> list[Message]:
        async with asyncio.timeout(10):
            while len(self.messages) < number:
                self.changed.clear()
                await self.changed.wait()
        return self.messages

    async def whole(self) -> bytes:
        assert self.task is not None
        async with asyncio.timeout(20):
            await self.task
        return b"".join(message.get("body", b"") for message in self.messages)

    @property
    def status(self) -> int:
        status: int = self.messages[0]["status"]
        return status


class Site:
    """The application, asked as by a server that streams."""

    def __init__(self, app: Any, http: httpx.AsyncClient, streams: Streams) -> None:
        self.http, self.streams = http, streams
        self._app = app

    def ask(self, url: str, *, cursor: str = "", token: str = "") -> Asked:
        path, _, query = url.partition("?")
        headers = [(b"host", b"test")]
        headers += [(b"last-event-id", cursor.encode())] if cursor else []
        headers += [(b"authorization", f"Bearer {token}".encode())] if token else []
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": headers,
            "root_path": "",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
        }
        asked = Asked()

        async def receive() -> Message:
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            asked.messages.append(message)
            asked.changed.set()

        asked.task = asyncio.create_task(self._app(scope, receive, send))
        return asked

    async def create(self) -> dict[str, str]:
        answer = await self.http.post("/streams", json={"prompt": "hi"}, headers=bearer(WEBSITE))
        assert answer.status_code == 201, answer.text
        created: dict[str, str] = answer.json()
        return created

    async def finished(self) -> tuple[dict[str, str], list[str]]:
        """A stream that has ended, and the ids of its events."""
        created = await self.create()
        text = (await self.http.get(created["events_url"])).text
        return created, [line[4:] for line in text.splitlines() if line.startswith("id: ")]


@pytest.fixture
async def site(log: DynamoDBStore) -> AsyncIterator[Site]:
    app = create_app(
        Settings(table_name=log._table.name),
        DemoProvider(tokens=3, tokens_per_second=500),
        gate=parts.gate({"API_TOKENS": TOKENS}),
    )

    async with app.router.lifespan_context(app) as state:

        async def asked(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(asked)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            yield Site(asked, http, dict(state or {})["streams"])


def address(way: str, created: dict[str, str]) -> str:
    return way.format(url=created["events_url"], token=created["token"])


@pytest.mark.parametrize("way", ENDS)
async def test_an_answer_to_a_streams_token_begins_before_the_log_is_read(
    site: Site, store: FaultyStore, way: str
) -> None:
    """A sandbox that dies before its first byte is a 502, which is final for an EventSource."""
    created, ids = await site.finished()
    store.hold("Query", "GetItem")

    asked = site.ask(address(way, created), cursor=ids[0])
    begun = list(await asked.sent(2))
    store.release()
    rest = await asked.whole()

    assert [message["type"] for message in begun] == HEAD
    assert (asked.status, begun[1]["body"]) == (200, RETRY)
    assert rest.count(b"event: ") == len(ids) - 1


async def test_an_api_token_proves_no_stream_so_the_log_is_read_first(site: Site) -> None:
    created, ids = await site.finished()
    url = f"/streams/{created['id']}/events"
    newest = ids[-1].removesuffix(":end")

    for path, cursor, status in (
        (f"/streams/{'x' * 32}/events", "", 404),
        (url, f"{created['id']}:99", 400),
        (url, newest, 204),
        (url, ids[-1], 204),
    ):
        asked = site.ask(path, cursor=cursor, token=WEBSITE)
        await asked.whole()
        assert asked.status == status


@pytest.mark.parametrize("way", ENDS)
async def test_the_last_id_says_that_it_is_the_last_and_is_answered_without_the_log(
    site: Site, store: FaultyStore, way: str
) -> None:
    created, ids = await site.finished()
    assert [each.endswith(":end") for each in ids] == [False] * (len(ids) - 1) + [True]
    store.hold("Query", "GetItem")

    asked = site.ask(address(way, created), cursor=ids[-1])

    assert await asked.whole() == b""
    assert asked.status == 204
    store.release()


@pytest.mark.parametrize("way", ENDS)
async def test_nothing_left_behind_the_head_moves_the_cursor_to_the_end(
    site: Site, way: str
) -> None:
    """The cursor was made by hand, or by a version that did not mark the last one."""
    created, ids = await site.finished()

    asked = site.ask(address(way, created), cursor=ids[-1].removesuffix(":end"))

    assert await asked.whole() == RETRY + f"id: {ids[-1]}\n\n".encode()
    assert asked.status == 200
    assert not any("event" in line for line in (await asked.whole()).decode().splitlines())


async def test_a_token_is_checked_before_the_head(site: Site) -> None:
    created, ids = await site.finished()
    other = await site.create()

    for token, status in (("nonsense", 401), (other["token"], 404)):
        for cursor in ("", ids[0], ids[-1]):
            asked = site.ask(f"/streams/{created['id']}/events?token={token}", cursor=cursor)
            await asked.whole()
            assert asked.status == status
    for cursor in ("nonsense", f"{other['id']}:0", f"{created['id']}:0:END"):
        asked = site.ask(created["events_url"], cursor=cursor)
        await asked.whole()
        assert asked.status == 400


@pytest.mark.parametrize("seq", [99, None])
async def test_an_error_behind_the_head_is_told_once(site: Site, seq: int | None) -> None:
    """Behind it comes the end as the cursor: an EventSource would ask for it for ever else."""
    created, _ = await site.finished()
    cursor = ""
    if seq is None:
        await site.streams.remove(created["id"])
    else:
        cursor = f"{created['id']}:{seq}"

    asked = site.ask(created["events_url"], cursor=cursor)
    event, moved, _ = (await asked.whole()).decode().split("\n\n")

    assert asked.status == 200
    code = "stream_not_found" if seq is None else "bad_cursor"
    assert event.startswith(f'retry: 300\nevent: error\ndata: {{"code":"{code}"')
    assert "id: " not in event
    again = site.ask(created["events_url"], cursor=moved.removeprefix("id: "))
    assert (await again.whole(), again.status) == (b"", 204)


async def test_trouble_of_the_store_behind_the_head_brings_an_event_source_back(
    site: Site, store: FaultyStore
) -> None:
    created, ids = await site.finished()
    store.choose = lambda _: Fault.FAIL
    asked = site.ask(created["events_url"], cursor=ids[0])

    assert await asked.whole() == RETRY + b"retry: 2000\n"
    assert asked.status == 200
