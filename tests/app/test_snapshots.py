"""A stream as far as it has come, as `GET /streams/{id}` tells it."""

from collections.abc import AsyncGenerator, AsyncIterator

import httpx
import pytest

from app.application import create_app
from app.events import (
    EVENTS,
    Answer,
    Data,
    Done,
    Progress,
    Source,
    Thinking,
    ToolCall,
    ToolResult,
)
from app.models.demo import DemoProvider
from app.settings import Settings
from app.task import Task
from durable_stream import Event, Registry
from durable_stream.dynamodb import DynamoDBStore
from tests.app.serving import served

pytestmark = pytest.mark.anyio


class Search(Event):
    """An event of a cloner's own."""

    kind = "search"
    query: str


SAID = (
    Thinking("Let me see."),
    Answer("It is "),
    ToolCall("1", "weather", {"place": "Ulm"}),
    ToolCall("2", "time", {}),
    Progress("pages", 1, 3),
    ToolResult("1", {"sky": "blue"}),
    Answer("blue", within="name:1"),
    Data("half", ["a\ud83d", None]),
    Search("cats"),
    Progress("pages", 3, 3),
    Source("Sky", "https://sky.example"),
    Answer(" in Ulm \ud83d"),
    Data("other", 1),
    Answer("\ude80."),
)
WEATHER = {"id": "1", "name": "weather", "arguments": {"place": "Ulm"}}
PARTS = [
    {"kind": "thinking", "text": "Let me see."},
    {"kind": "answer", "text": "It is "},
    {
        "kind": "tool_call",
        **WEATHER,
        "state": "done",
        "result": {"output": {"sky": "blue"}, "error": None},
    },
    {
        "kind": "tool_call",
        "id": "2",
        "name": "time",
        "arguments": {},
        "state": "running",
        "result": None,
    },
    {"kind": "progress", "label": "pages", "done": 3, "total": 3},
    {"kind": "answer", "text": "blue", "step": "name:1"},
    {"kind": "data", "name": "half", "value": ["a\ufffd", None], "id": ""},
    {"kind": "search", "query": "cats"},
    {"kind": "source", "title": "Sky", "url": "https://sky.example"},
    {"kind": "answer", "text": " in Ulm \ufffd"},
    {"kind": "data", "name": "other", "value": 1, "id": ""},
    {"kind": "answer", "text": "\ufffd."},
]


async def saying(task: Task) -> AsyncGenerator[Event]:
    for event in SAID:
        if event.within:
            await task.step("name", task.emit, event)
        else:
            yield event
    yield Done("stop")


@pytest.fixture
async def http(log: DynamoDBStore) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(table_name=log._table.name)
    events = Registry((*EVENTS, Search))
    app = create_app(settings, DemoProvider(), agents=[saying], events=events)
    async with served(app) as http:
        yield http


async def test_a_snapshot_has_the_parts_and_the_texts(http: httpx.AsyncClient) -> None:
    """Half a surrogate pair has no UTF-8 form; two halves of one have."""
    created = (await http.post("/streams", json={"prompt": "hi"})).json()
    await http.get(created["events_url"])
    snapshot = (await http.get(created["url"])).json()
    assert snapshot["status"] == "done"
    assert snapshot["parts"] == PARTS
    assert snapshot["answer"] == "It is blue in Ulm \U0001f680."
    assert snapshot["thinking"] == "Let me see."


async def test_openapi_describes_each_kind_of_part(http: httpx.AsyncClient) -> None:
    schemas = (await http.get("/openapi.json")).json()["components"]["schemas"]
    parts = schemas["Snapshot"]["properties"]["parts"]["items"]["anyOf"]
    named = [schemas[part["$ref"].rpartition("/")[2]] for part in parts]
    kinds = [part["properties"]["kind"] for part in named]
    assert [kind.get("enum", kind.get("const")) for kind in kinds] == [
        ["thinking", "answer"],
        "tool_call",
        "progress",
        "data",
        "source",
        None,
    ]
    assert all(part["description"] and part["additionalProperties"] for part in named)
    assert "step" not in {name for part in named for name in part["required"]}
