"""Readers under limits: those let in, the answers to the others, and the cost of counting."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app import limits, parts
from app.application import create_app
from app.models.demo import DemoProvider
from app.settings import Settings
from durable_stream.dynamodb import DynamoDBStore
from lambda_stream import Adapter
from lambda_stream.cycle import ResponseBuffer
from lambda_stream.invocation import LambdaContext
from tests.store import FaultyStore

pytestmark = pytest.mark.anyio

EVENTS = Path(__file__).parents[3] / "events"
TOKENS = {"API_TOKENS": json.dumps({"one": "1" * 32, "two": "2" * 32})}


class Reader:
    """A client of a function URL, or of a door that buffers."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter

    async def ask(
        self, method: str, url: str, *, body: Any = None, token: str = "", cursor: str = ""
    ) -> tuple[int, str]:
        """The status and body of an answer."""
        event = json.loads((EVENTS / "function-url-create.json").read_text())
        path, _, query = url.partition("?")
        event["requestContext"]["http"] |= {"method": method, "path": path}
        event |= {"rawPath": path, "rawQueryString": query, "body": json.dumps(body)}
        event["isBase64Encoded"] = False
        event["headers"] = {"host": "x", "content-type": "application/json"}
        if token:
            event["headers"]["authorization"] = f"Bearer {token}"
        if cursor:
            event["headers"]["last-event-id"] = cursor
        context = LambdaContext("1", "arn", deadline_ms=int(time.time() * 1000) + 60_000)
        if self._adapter.streams(event):
            response = ResponseBuffer()
            await self._adapter.stream(event, context, response)
            return response.prelude.status, response.body.decode()
        result = await self._adapter.respond(event, context)
        return result["statusCode"], result["body"]

    async def create(self, token: str = "") -> dict[str, str]:
        _, created = await self.ask("POST", "/streams", body={"prompt": "hello"}, token=token)
        stream: dict[str, str] = json.loads(created)
        return stream


Serve = Callable[..., AbstractAsyncContextManager[Reader]]


@pytest.fixture
async def serve(log: DynamoDBStore) -> Serve:
    @asynccontextmanager
    async def serving(
        *, buffered: bool = False, environ: dict[str, str] | None = None, **most: int
    ) -> AsyncIterator[Reader]:
        settings = Settings(table_name=log._table.name)
        provider = DemoProvider(tokens=3, tokens_per_second=500)
        limited = {name.upper(): str(value) for name, value in most.items()}
        app = create_app(
            settings,
            provider,
            gate=parts.gate(environ or {}),
            hooks=[limits.from_environ(limited)],
        )
        adapter = Adapter(app, buffered=buffered)
        await adapter.startup()
        yield Reader(adapter)
        await adapter.shutdown()

    return serving


async def connected(reader: Reader, url: str, times: int, **shown: str) -> tuple[int, list[str]]:
    """The number of these readers that were let in, and the answers to the others.

    The minute may end in between, and let as many in again.
    """
    answers = [await reader.ask("GET", url, **shown) for _ in range(times)]
    assert {status for status, _ in answers} == {200}
    refused = [body for _, body in answers if "event: " not in body]
    return times - len(refused), refused


async def test_a_reader_over_a_limit_is_sent_away_until_the_next_minute(serve: Serve) -> None:
    """As an EventSource understands it: 429 would be final, and an error event a failed answer."""
    async with serve(stream_connects_per_minute=2) as reader:
        created = await reader.create()

        let_in, refused = await connected(reader, created["events_url"], 6)

        assert let_in in {2, 3, 4}
        for body in refused:
            name, milliseconds = body.split(": ")
            assert name == "retry"
            assert 1_000 <= int(milliseconds) <= 70_000
        assert (await reader.ask("GET", created["url"]))[0] == 200
        assert (await reader.ask("POST", created["cancel_url"]))[0] == 200
        other = await reader.create()
        assert (await connected(reader, other["events_url"], 1))[0] == 1


@pytest.mark.access
async def test_a_stream_is_its_owners_whichever_token_opens_it(serve: Serve) -> None:
    async with serve(environ=TOKENS, connects_per_minute=2) as reader:
        first, second = "1" * 32, "2" * 32
        streams = [await reader.create(first) for _ in range(5)]
        by_address = [await connected(reader, each["events_url"], 1) for each in streams]
        assert sum(let_in for let_in, _ in by_address) in {2, 3, 4}

        url = f"/streams/{(await reader.create(second))['id']}/events"
        assert (await connected(reader, url, 1, token=second))[0] == 1


async def test_a_reader_behind_a_door_that_buffers_may_come_back_each_second(serve: Serve) -> None:
    async with serve(buffered=True, stream_connects_per_minute=1) as reader:
        created = await reader.create()

        assert (await connected(reader, created["events_url"], 60))[0] == 60
        assert (await connected(reader, created["events_url"], 61))[1]


async def test_what_is_not_there_or_over_is_not_counted(serve: Serve) -> None:
    async with serve(stream_connects_per_minute=1) as reader:
        created = await reader.create()
        _, events = await reader.ask("GET", created["events_url"])
        end = events.rpartition("id: ")[2].strip()
        for _ in range(5):
            assert (await reader.ask("GET", created["events_url"], cursor=end))[0] == 204
            assert (await reader.ask("GET", f"/streams/{'x' * 32}/events"))[0] == 404


@pytest.mark.parametrize(
    ("limits", "writes"),
    [
        ({}, 0),
        ({"stream_connects_per_minute": 9}, 1),
        ({"stream_connects_per_minute": 9, "connects_per_minute": 9}, 2),
    ],
)
async def test_a_resume_costs_a_look_at_the_log_and_a_write_a_limit(
    serve: Serve, store: FaultyStore, limits: dict[str, int], writes: int
) -> None:
    """So it is as quick as they are."""
    async with serve(**limits) as reader:
        created = await reader.create()
        await reader.ask("GET", created["events_url"])
        store.calls.clear()

        await reader.ask("GET", created["events_url"], cursor=f"{created['id']}:0")

    assert store.calls == {"Query": 1, **({"UpdateItem": writes} if writes else {})}
