"""The wishes of a cloner: an agent, an event and a route of one's own, each in one place."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter
from httpx_sse import EventSource

from app import parts
from app.api.deps import public
from app.api.sse import frame
from app.application import create_app
from app.events import EVENTS, Answer
from app.models.demo import DemoProvider
from app.settings import Settings
from app.task import Task
from durable_stream import Event, Record, Registry
from durable_stream.dynamodb import DynamoDBStore
from tests.app.serving import served

pytestmark = pytest.mark.anyio

TOKEN = "t" * 32
CLOSED = {"API_TOKENS": json.dumps({"default": TOKEN})}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Counted(Event):
    """An event of a cloner's own."""

    kind = "counted"
    done: int
    total: int


async def counting(task: Task) -> AsyncGenerator[Event]:
    """An agent of a cloner's own: it returns, and has finished."""
    for done in (1, 2):
        yield Counted(done, 2)
    yield Answer(f"{task.input.messages[-1].content}, attempt {task.attempt}")


yours = APIRouter()


@yours.get("/private")
async def private() -> dict[str, str]:
    return {"hello": "you"}


@yours.get("/open")
@public
async def opened() -> dict[str, str]:
    return {"hello": "world"}


Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def serve(log: DynamoDBStore) -> Serve:
    @asynccontextmanager
    async def serving(environ: dict[str, str] | None = None) -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(
            Settings(table_name=log._table.name),
            DemoProvider(),
            gate=parts.gate(environ or {}),
            agents=[counting],
            events=Registry([*EVENTS, Counted]),
        )
        app.include_router(yours)
        async with served(app) as client:
            yield client

    return serving


async def test_an_agent_of_ones_own_needs_no_end_and_gets_its_task(serve: Serve) -> None:
    async with serve() as client:
        answer = await client.get("/sse", params={"prompt": "count"})

    events = [(e.event, json.loads(e.data)) for e in EventSource(answer).iter_sse()]
    names = [name for name, _ in events if name != "heartbeat"]
    assert names == ["start", "counted", "counted", "answer", "done"]
    assert events[-2:] == [
        ("answer", {"text": "count, attempt 1"}),
        ("done", {"finish_reason": "stop", "usage": {"input_tokens": None, "output_tokens": None}}),
    ]


def test_an_event_of_ones_own_is_rendered_from_its_class_alone() -> None:
    record = Record("s" * 32, 3, Counted(1, 2), writer="w", nonce="n", at=0, expires_at=0)

    expected = f'event: counted\ndata: {{"done":1,"total":2}}\nid: {"s" * 32}:3\n\n'
    assert frame(record) == expected.encode()


@pytest.mark.access
async def test_a_route_of_ones_own_is_closed_unless_it_says_that_it_is_public(
    serve: Serve,
) -> None:
    async with serve(CLOSED) as client:
        refused, admitted = (
            await client.get("/private"),
            await client.get("/private", headers=BEARER),
        )
        public_to_all = await client.get("/open")
        paths = (await client.get("/openapi.json")).json()["paths"]

    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthorized")
    assert admitted.json() == {"hello": "you"}
    assert public_to_all.json() == {"hello": "world"}
    assert paths["/private"]["get"]["security"] == [{"API token": []}]
    assert "401" in paths["/private"]["get"]["responses"]
    assert "security" not in paths["/open"]["get"]


async def test_where_access_is_open_every_route_is(serve: Serve) -> None:
    async with serve() as client:
        assert (await client.get("/private")).json() == {"hello": "you"}
