"""The routes of AG-UI: a run begins, continues by a snapshot, is cancelled, or is refused."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from app.agents import agent
from app.api.sse import KEEP_ALIVE
from app.application import create_app
from app.events import Answer, Data, Done, Thinking, ToolCall, ToolResult
from app.exceptions import RetryLater, Unauthorized
from app.gate import Credentials, OpenGate
from app.models.demo import DemoProvider
from app.settings import Settings
from app.task import Task
from app.wires import ag_ui
from app.wires.ag_ui import runs
from durable_stream import Event, Hooks, ProducerFailed, Record
from durable_stream.dynamodb import DynamoDBStore
from durable_stream.text import mended
from tests.app.serving import served
from tests.wires.ag_ui.reference import Client, Json

pytestmark = pytest.mark.anyio

TOKEN = "t" * 32
OTHER = "o" * 32
BEARER = {"Authorization": f"Bearer {TOKEN}"}
ASKED = {"id": "u1", "role": "user", "content": "Where?"}
heard: list[Any] = []


class Tokens(OpenGate):
    """Lets two callers create streams."""

    async def creator(self, credentials: Credentials) -> str:
        if credentials.bearer not in (TOKEN, OTHER):
            raise Unauthorized
        return credentials.bearer


class Broke(Hooks):
    """Refuses streams whose model is asked about a budget."""

    async def creating(self, start: Record) -> None:
        if "budget" in start.event.input:  # type: ignore[attr-defined]
            raise RetryLater("budget_exhausted", "Come back tomorrow.", retry_after=60)


class Place(BaseModel):
    prompt: str
    zoom: int = 1


@agent(resume="continue")
async def chat(task: Task) -> AsyncGenerator[Event]:
    heard.append(task.input)
    prompt = task.input.messages[-1].content
    if prompt == "fail":
        raise ProducerFailed("broken", "The model failed.", retryable=False)
    yield Thinking("Hm.")
    yield Answer("Half \ud83d")
    if prompt == "fail later":
        raise ProducerFailed("broken", "The model failed.", retryable=False)
    yield Answer("\ude00")
    yield ToolCall("1", "look", {"at": "é"})
    yield ToolResult("1", {"seen": True})
    yield Data("place", {"name": "é"})
    yield Answer("There.")
    yield Done("stop", 3, 4)


@agent(input=Place)
async def place(task: Task[Place]) -> AsyncGenerator[Event]:
    yield Answer(f"{task.input.prompt} {task.input.zoom}")


@agent()
async def long(task: Task) -> AsyncGenerator[Event]:
    """Say more than a store reads at once."""
    for number in range(600):
        yield Data(f"d{number}", task.attempt)


@pytest.fixture
async def http(log: DynamoDBStore) -> AsyncIterator[httpx.AsyncClient]:
    heard.clear()
    settings = Settings(table_name=log._table.name)
    app = create_app(
        settings,
        DemoProvider(),
        gate=Tokens(),
        agents=[chat, place, long],
        hooks=[lambda *_: Broke()],
        wires=[ag_ui.router],
    )
    async with served(app) as client:
        client.headers.update(BEARER)
        yield client


def body(*messages: Json, run: str = "r1", **more: Any) -> Json:
    given = {"threadId": "t1", "runId": run, "messages": list(messages) or [ASKED]}
    usual = {"protocolVersion": "1.0", "state": {}, "tools": [], "context": []}
    return {**given, **usual, "forwardedProps": {}, **more}


def events(answered: httpx.Response) -> list[Json]:
    assert answered.status_code == 200, answered.text
    assert answered.headers["content-type"].startswith("text/event-stream")
    assert answered.content.isascii()
    blocks = answered.text.replace(KEEP_ALIVE.decode(), "").split("\n\n")
    assert blocks.pop() == ""
    return [json.loads(block.rpartition("\n")[2].removeprefix("data: ")) for block in blocks]


async def run(http: httpx.AsyncClient, client: Client, path: str = "", **more: Any) -> Client:
    sent = json.dumps(body(*client.posted(), **more))
    return client.connect().play(events(await http.post(f"/ag-ui{path}", content=sent)))


async def test_a_run_ends_with_the_answer(http: httpx.AsyncClient) -> None:
    answered = events(await http.post("/ag-ui", json=body()))

    assert answered[0]["type"] == "RUN_STARTED"
    stream_id = answered[0]["metadata"]["stream_id"]
    snapshot = (await http.get(f"/streams/{stream_id}")).json()
    client = Client([ASKED]).play(answered)
    contents = [each.get("content") for each in client.messages if each["role"] == "assistant"]
    assert [each and mended(each) for each in contents] == ["Half \U0001f600", None, "There."]
    assert snapshot["answer"] == "Half \U0001f600There."
    assert client.state == {"place": {"name": "é"}}
    assert client.end is not None
    assert client.end["usage"] == [{"model": "demo", "inputTokens": 3, "outputTokens": 4}]


async def test_the_same_run_again_is_told_by_a_snapshot_and_not_generated_again(
    http: httpx.AsyncClient,
) -> None:
    once = await run(http, Client([ASKED]))

    twice = await run(http, once)
    afresh = await run(http, Client([ASKED]))

    assert twice.messages == once.messages
    assert (afresh.messages, afresh.state, afresh.end) == (twice.messages, once.state, once.end)
    assert len(heard) == 1


async def test_a_run_longer_than_a_page_of_the_store_is_told_by_one_snapshot(
    http: httpx.AsyncClient,
) -> None:
    once = await run(http, Client([ASKED]), "/long")

    told = events(await http.post("/ag-ui/long", json=body()))

    types = [each["type"] for each in told]
    assert types == ["RUN_STARTED", "MESSAGES_SNAPSHOT", "STATE_DELTA", "RUN_FINISHED"]
    assert Client([ASKED]).play(told).state == once.state
    assert len(once.state) == 600


async def test_a_client_that_has_lost_its_messages_gets_those_of_the_log(
    http: httpx.AsyncClient,
) -> None:
    once = await run(http, Client([ASKED]))
    lost = body(run="r1") | {"messages": []}

    client = Client().play(events(await http.post("/ag-ui", json=lost)))

    assert [each["content"] for each in client.messages[:1]] == ["Where?"]
    assert client.messages[1:] == once.messages[1:]


async def test_another_run_of_the_thread_is_another_stream_that_knows_the_conversation(
    http: httpx.AsyncClient,
) -> None:
    once = await run(http, Client([ASKED]))
    once.messages.append(
        {"id": "u2", "role": "user", "content": [{"type": "text", "text": "Why?"}]}
    )

    twice = await run(http, once, run="r2")

    assert len(heard) == 2
    told = [(each.role, each.content) for each in heard[1].messages]
    assert told == [
        ("user", "Where?"),
        ("assistant", "Half \U0001f600\n\nThere."),
        ("user", "Why?"),
    ]
    assert len(twice.messages) == len(once.messages) + 5
    ids = [each["id"] for each in twice.messages]
    assert len(set(ids)) == len(ids)


async def test_system_messages_and_context_are_instructions(http: httpx.AsyncClient) -> None:
    messages = ({"id": "s", "role": "system", "content": "Be brief."}, ASKED)
    context = [{"description": "The page", "value": "A map"}]

    await http.post("/ag-ui", json=body(*messages, context=context))

    assert heard[0].system == "Be brief.\n\nThe page: A map"


@pytest.mark.parametrize(("prompt", "told"), [("fail", 0), ("fail later", 2)])
async def test_a_failure_ends_the_run_the_first_time_and_every_time(
    http: httpx.AsyncClient, prompt: str, told: int
) -> None:
    client = Client([{**ASKED, "content": prompt}])

    first = await run(http, client)
    again = await run(http, first)

    assert first.end == {"type": "RUN_ERROR", "message": "The model failed.", "code": "broken"}
    assert (again.messages, again.end) == (first.messages, first.end)
    assert len(again.messages) == 1 + told


async def test_a_state_of_null_is_an_empty_one(http: httpx.AsyncClient) -> None:
    client = await run(http, Client([ASKED]), state=None)

    assert client.state == {"place": {"name": "é"}}


async def test_an_agent_is_named_by_the_path(http: httpx.AsyncClient) -> None:
    client = await run(http, Client([ASKED]), "/place")

    assert client.messages[-1]["content"] == "Where? 1"


async def test_runs_are_their_owners(http: httpx.AsyncClient) -> None:
    first = events(await http.post("/ag-ui", json=body()))
    other = {"Authorization": f"Bearer {OTHER}"}

    second = events(await http.post("/ag-ui", json=body(), headers=other))
    stream_id = first[0]["metadata"]["stream_id"]
    third = events(await http.post("/ag-ui", json=body(run=stream_id), headers=other))

    assert len({each[0]["metadata"]["stream_id"] for each in (first, second, third)}) == 3


async def test_a_stream_of_another_wire_is_a_run_of_its_id(http: httpx.AsyncClient) -> None:
    created = (await http.post("/streams", json={"prompt": "Where?"})).json()

    sent = body(run=created["id"]) | {"messages": []}
    client = Client().play(events(await http.post("/ag-ui", json=sent)))

    assert client.messages[0]["content"] == "Where?"
    assert client.end is not None


async def test_a_run_that_has_ended_is_not_cancelled(http: httpx.AsyncClient) -> None:
    await run(http, Client([ASKED]))

    answered = await http.post("/ag-ui/runs/cancel", json={"threadId": "t1", "runId": "r1"})

    assert answered.json() == {"threadId": "t1", "runId": "r1", "status": "done"}


async def test_a_run_that_is_cancelled_ends_as_its_client_knows_it(http: httpx.AsyncClient) -> None:
    created = (await http.post("/streams", json={"prompt": "Where?"})).json()
    name = {"threadId": "t1", "runId": created["id"]}

    answered = await http.post("/ag-ui/runs/cancel", json=name)

    assert answered.json() == {**name, "status": "cancelled"}
    sent = body(run=created["id"])
    [*_, end] = events(await http.post("/ag-ui", json=sent))
    assert end["outcome"] == {"type": "cancelled"}
    del sent["protocolVersion"]
    [*_, end] = events(await http.post("/ag-ui", json=sent))
    assert (end["outcome"], end["result"]) == (
        {"type": "success"},
        {"finish_reason": "cancelled"},
    )
    assert not heard


@pytest.mark.parametrize(
    ("path", "change", "told"),
    [
        ("", {"messages": []}, (400, "invalid_request", "messages")),
        ("", {"messages": [{"id": "a"}]}, (400, "invalid_request", "messages.0.role")),
        (
            "",
            {"messages": [ASKED, {"id": "a", "role": "assistant", "content": "And?"}]},
            (400, "invalid_request", "messages"),
        ),
        (
            "",
            {"messages": [{**ASKED, "content": [{"type": "image", "source": {}}]}]},
            (400, "unsupported", "messages.0.content"),
        ),
        ("", {"messages": [{**ASKED, "content": " "}]}, (400, "invalid_request", "messages")),
        ("", {"threadId": ""}, (400, "invalid_request", "threadId")),
        ("", {"state": 3}, (400, "invalid_request", "state")),
        ("", {"tools": [{"name": "page"}]}, (400, "unsupported", "tools")),
        ("", {"resume": [{}]}, (400, "unsupported", "resume")),
        ("/nobody", {}, (404, "unknown_agent", None)),
        ("/runs/cancel", {"runId": "r9"}, (404, "stream_not_found", None)),
        ("", {"messages": [{**ASKED, "content": "budget"}]}, (429, "budget_exhausted", None)),
    ],
)
async def test_a_request_is_refused_before_anything_happens(
    http: httpx.AsyncClient, path: str, change: Json, told: tuple[int, str, str | None]
) -> None:
    answered = await http.post(f"/ag-ui{path}", json={**body(), **change})

    error = answered.json()["error"]
    assert (answered.status_code, error["code"], error["param"]) == told
    assert error["message"]
    assert not heard


async def test_a_caller_without_a_token_is_refused(http: httpx.AsyncClient) -> None:
    for path in ("", "/chat", "/runs/cancel"):
        answered = await http.post(f"/ag-ui{path}", json=body(), headers={"Authorization": ""})

        assert (answered.status_code, answered.json()["error"]["code"]) == (401, "unauthorized")


async def test_a_body_nested_too_deep_is_refused(http: httpx.AsyncClient) -> None:
    for depth in (100, 400, 900, 990, 100_000):
        deep = '{"threadId":"t","runId":"r","messages":[],"state":{"a":%s1%s}}'
        content = deep % ("[" * depth, "]" * depth)

        assert (await http.post("/ag-ui", content=content)).status_code in (400, 413)


async def test_a_run_id_that_belongs_to_a_stream_that_has_expired_is_told_so(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(http, Client([ASKED]))
    monkeypatch.setattr("durable_stream.engine.Engine.expired", lambda *_: True)

    answered = await http.post("/ag-ui", json=body())

    error = answered.json()["error"]
    assert (answered.status_code, error["code"], error["param"]) == (422, "run_id_used", "runId")


async def test_two_requests_for_a_new_run_at_once_get_the_same_run(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, find = asyncio.Barrier(2), runs.find
    looked: list[runs.Found | None] = []

    async def find_at_once(*arguments: Any) -> runs.Found | None:
        looked.append(await find(*arguments))
        if len(looked) <= both.parties:
            await both.wait()
        return looked[-1]

    monkeypatch.setattr(runs, "find", find_at_once)
    asked = [ASKED, {**ASKED, "content": "When?"}]

    async with asyncio.timeout(10):
        answered = await asyncio.gather(*(http.post("/ag-ui", json=body(each)) for each in asked))

    assert looked[:2] == [None, None]
    told = [events(each) for each in answered]
    assert len({each[0]["metadata"]["stream_id"] for each in told}) == 1
    shown = [Client([message]).play(each) for message, each in zip(asked, told, strict=True)]
    assert shown[0].messages[1:] == shown[1].messages[1:]
    assert len(heard) == 1
