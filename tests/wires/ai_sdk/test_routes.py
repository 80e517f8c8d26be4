"""The routes of the AI SDK's wire, asked over HTTP."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from app import models
from app.agents import agent
from app.application import create_app
from app.events import Answer, Progress, ToolCall, ToolResult
from app.exceptions import Unauthorized
from app.gate import Credentials, Mode, OpenGate, OwnerOf
from app.models.demo import DemoProvider
from app.pointers import Pointers
from app.settings import Settings
from app.task import Task
from app.wires import ai_sdk
from durable_stream import Event, StoreUnavailable, StreamNotFound
from durable_stream.dynamodb import DynamoDBStore
from tests.app.serving import served
from tests.wires.ai_sdk.message import Chunk, Message, expected

pytestmark = pytest.mark.anyio

CHAT = "/ai-sdk/chat"
NOBODYS = "N" * 32
FINISH = [{"type": "finish"}]


class Owners(OpenGate):
    """Everybody is who they say."""

    mode: Mode = "tokens"

    async def creator(self, credentials: Credentials) -> str:
        if credentials.bearer is None:
            raise Unauthorized
        return credentials.bearer

    async def admit(self, credentials: Credentials, stream_id: str, owner_of: OwnerOf) -> str:
        if credentials.token is not None:
            return credentials.token
        if await self.creator(credentials) != await owner_of(stream_id):
            raise StreamNotFound
        return credentials.bearer or ""


class Topic(BaseModel):
    prompt: str


class Two(BaseModel):
    left: int
    right: int


@agent(resume="continue")
async def chat(task: Task) -> AsyncGenerator[Event]:
    """Answer with the model."""
    async for event in models.answer(task):
        yield event


@agent(resume="replay", input=Topic)
async def poet(task: Task[Topic]) -> AsyncGenerator[Event]:
    """Rhyme."""
    yield Progress("Rhyming", 1, 1)
    yield ToolCall("1", "rhyme", {"with": task.input.prompt})
    yield ToolResult("1", "moon")
    yield Answer(f"{task.input.prompt}, moon")


@agent(resume="replay", input=Two)
async def adder(task: Task[Two]) -> AsyncGenerator[Event]:
    """Add."""
    yield Answer(str(task.input.left + task.input.right))


AGENTS = (chat, poet, adder)


@pytest.fixture
async def http(log: DynamoDBStore) -> AsyncIterator[httpx.AsyncClient]:
    provider = DemoProvider(
        tokens=5, tokens_per_second=1000, first_token_seconds=0, models=("demo", "other")
    )
    settings = Settings(table_name=log._table.name)
    app = create_app(settings, provider, gate=Owners(), agents=AGENTS, wires=[ai_sdk.router])
    async with served(app) as client:
        client.headers["Authorization"] = "Bearer ann"
        yield client


def message(role: str, *texts: str, **members: Any) -> dict[str, Any]:
    parts = [{"type": "text", "text": text} for text in texts]
    return {"id": "m1", "role": role, "parts": parts, **members}


def body(*messages: dict[str, Any], chat_id: str | None = "chat-1", **members: Any) -> Any:
    asked = messages or (message("user", "Hello"),)
    about = {} if chat_id is None else {"id": chat_id, "trigger": "submit-message"}
    return {**about, "messages": list(asked), **members}


def chunks(answered: httpx.Response) -> list[Chunk]:
    assert answered.status_code == 200, answered.text
    lines = [line for line in answered.text.split("\n") if line and not line.startswith(":")]
    assert all(line.startswith("data: ") for line in lines)
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def asked(http: httpx.AsyncClient, sent: Any = None) -> Message:
    return Message(chunks(await http.post(CHAT, json=sent or body())))


async def snapshot(http: httpx.AsyncClient, stream_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(f"/streams/{stream_id}")).json()
    return found


async def test_a_chat_is_answered_with_the_parts_of_its_stream(http: httpx.AsyncClient) -> None:
    answered = await http.post(CHAT, json=body())

    assert answered.headers["content-type"].startswith("text/event-stream")
    assert answered.headers["x-vercel-ai-ui-message-stream"] == "v1"
    shown = Message(chunks(answered))
    assert answered.headers["x-workflow-run-id"] == shown.id
    assert shown.said == expected((await snapshot(http, shown.id))["parts"])
    assert shown.finish_reason == "stop"
    assert set(shown.metadata) == {"streamId", "agent", "model", "status", "usage"}


@pytest.mark.parametrize("kind", ["application/json", "text/plain;charset=UTF-8"])
async def test_a_body_is_json_whatever_its_content_type_says(
    http: httpx.AsyncClient, kind: str
) -> None:
    sent = json.dumps(body(chat_id=None))
    answered = await http.post(CHAT, content=sent, headers={"Content-Type": kind})
    assert Message(chunks(answered)).finished


async def test_a_chat_is_read_again_from_its_start_also_when_it_is_over(
    http: httpx.AsyncClient,
) -> None:
    first = chunks(await http.post(CHAT, json=body()))
    assert chunks(await http.get(f"{CHAT}/chat-1/stream")) == first


@pytest.mark.parametrize("by", ["chat", "run"])
async def test_a_stream_is_read_from_any_chunk_by_both_ids(
    http: httpx.AsyncClient, by: str
) -> None:
    whole = chunks(await http.post(CHAT, json=body()))
    id_ = "chat-1" if by == "chat" else whole[0]["messageId"]
    for start in range(1, len(whole)):
        answered = await http.get(f"{CHAT}/{id_}/stream?startIndex={start}")
        assert chunks(answered) == whole[start:]
    for start in (len(whole), len(whole) + 9):
        assert chunks(await http.get(f"{CHAT}/{id_}/stream?startIndex={start}")) == FINISH


async def test_a_client_that_asks_for_all_chunks_takes_away_the_parts_that_it_has(
    http: httpx.AsyncClient,
) -> None:
    whole = chunks(await http.post(CHAT, json=body()))
    again = chunks(await http.get(f"{CHAT}/chat-1/stream?startIndex=0"))
    assert again == [whole[0], {"type": "reset-step"}, *whole[2:]]


@pytest.mark.parametrize("start", [-1, -3, -1000])
async def test_a_stream_is_read_from_the_end(http: httpx.AsyncClient, start: int) -> None:
    whole = chunks(await http.post(CHAT, json=body()))
    answered = await http.get(f"{CHAT}/chat-1/stream?startIndex={start}")
    assert answered.headers["x-workflow-stream-tail-index"] == str(len(whole) - 1)
    if -start > len(whole):
        whole[1] = {"type": "reset-step"}
    assert chunks(answered) == whole[start:]


@pytest.mark.parametrize("id_", ["unknown", NOBODYS])
async def test_where_there_is_no_stream_there_is_nothing_to_resume(
    http: httpx.AsyncClient, id_: str
) -> None:
    assert (await http.get(f"{CHAT}/{id_}/stream")).status_code == 204
    for start in (0, 7, -7):
        assert chunks(await http.get(f"{CHAT}/{id_}/stream?startIndex={start}")) == FINISH


async def test_a_chat_belongs_to_its_owner(http: httpx.AsyncClient) -> None:
    of_ann = await asked(http)
    bob = {"Authorization": "Bearer bob"}
    for id_ in ("chat-1", of_ann.id):
        assert (await http.get(f"{CHAT}/{id_}/stream", headers=bob)).status_code == 204
    of_bob = Message(chunks(await http.post(CHAT, json=body(), headers=bob)))
    assert chunks(await http.get(f"{CHAT}/chat-1/stream"))[0]["messageId"] == of_ann.id
    again = chunks(await http.get(f"{CHAT}/chat-1/stream", headers=bob))
    assert again[0]["messageId"] == of_bob.id


async def test_a_token_of_a_stream_opens_it_and_no_chat(http: httpx.AsyncClient) -> None:
    of_ann = await asked(http)
    del http.headers["Authorization"]
    for query in ("?token=ann", "?token=ann&startIndex=1"):
        assert Message(chunks(await http.get(f"{CHAT}/{of_ann.id}/stream{query}"))).finished
    assert (await http.get(f"{CHAT}/chat-1/stream?token=ann")).status_code == 401


async def test_strangers_are_refused_with_a_sentence(http: httpx.AsyncClient) -> None:
    del http.headers["Authorization"]
    for answered in (
        await http.post(CHAT, json=body()),
        await http.get(f"{CHAT}/chat-1/stream"),
        await http.get(f"{CHAT}/chat-1/stream?startIndex=0"),
        await http.post(f"{CHAT}/chat-1/stop"),
    ):
        assert answered.status_code == 401
        assert answered.headers["content-type"].startswith("text/plain")
        assert answered.text.startswith("This needs an API token")


async def test_regenerating_makes_a_new_stream_which_is_the_last_one(
    http: httpx.AsyncClient,
) -> None:
    first = await asked(http)
    second = await asked(http, body(trigger="regenerate-message"))
    assert first.id != second.id
    again = await http.get(f"{CHAT}/chat-1/stream")
    assert Message(chunks(again)).id == second.id


async def test_the_messages_before_become_the_conversation(http: httpx.AsyncClient) -> None:
    said = message("assistant")
    said["parts"] = [
        {"type": "step-start"},
        {"type": "text", "text": "One, "},
        {"type": "reasoning", "text": "hidden", "id": "1"},
        {"type": "text", "text": "two."},
        {"type": "dynamic-tool", "toolName": "add", "toolCallId": "1", "state": "x", "input": {}},
        {"type": "data-x", "data": 1},
        {"type": "text", "text": "Three."},
    ]
    shown = await asked(
        http,
        body(
            message("system", "Be brief."),
            message("user", "First", metadata={"a": 1}),
            said,
            message("user", "Unanswered"),
            message("assistant"),
            message("user", "Second", "and third"),
            agent="chat",
            model="other",
            temperature=0,
        ),
    )
    stream = await snapshot(http, shown.id)
    assert stream["model"] == "other"
    assert stream["messages"] == [
        {"role": "user", "content": "First"},
        {"role": "assistant", "content": "One, two.\n\nThree."},
        {"role": "user", "content": "Unanswered"},
        {"role": "user", "content": "Second\n\nand third"},
    ]


async def test_an_agent_with_an_input_of_its_own_takes_the_last_message(
    http: httpx.AsyncClient,
) -> None:
    sent = body(message("user", "a"), message("assistant", "b"), message("user", "June"))
    shown = await asked(http, {**sent, "agent": "poet"})
    assert [part["type"] for part in shown.said] == ["data-progress", "dynamic-tool", "text"]
    assert shown.said[-1]["text"] == "June, moon"


@pytest.mark.parametrize(
    ("sent", "status", "sentence"),
    [
        ("{", 400, "The body is not a JSON object"),
        ("[]", 400, "The body is not a JSON object"),
        ({"id": "1"}, 400, "The request is invalid. messages: "),
        (body() | {"messages": []}, 422, "The last message must be the user's"),
        (body(message("user", "a"), message("assistant", "b")), 422, "The last message must be"),
        (body(message("user", " ")), 422, "The message has no text: send one with text."),
        (body(message("user", "\ud83d")), 400, "The request is invalid."),
        (body(message("tool", "a")), 400, "The request is invalid. messages.0.role"),
        (body(chat_id=""), 400, "The request is invalid. id: "),
        (body(agent="nobody"), 422, "This agent is not served."),
        (body(agent="adder"), 422, "The agent 'adder' takes more than a prompt"),
        (body(model="nothing"), 422, "This model is not served."),
        (
            body(message("user", "a") | {"parts": [{"type": "file", "url": "data:,a"}]}),
            422,
            "No files are taken here",
        ),
    ],
)
async def test_a_wrong_body_is_refused_with_a_sentence(
    http: httpx.AsyncClient, sent: Any, status: int, sentence: str
) -> None:
    content = sent if isinstance(sent, str) else json.dumps(sent)
    answered = await http.post(CHAT, content=content)
    assert (answered.status_code, answered.text[: len(sentence)]) == (status, sentence)
    assert answered.headers["content-type"].startswith("text/plain")
    assert (await http.get(f"{CHAT}/chat-1/stream")).status_code == 204


async def test_a_page_of_another_site_spends_nothing_where_access_is_open(
    log: DynamoDBStore,
) -> None:
    settings = Settings(table_name=log._table.name)
    async with served(create_app(settings, DemoProvider(), wires=[ai_sdk.router])) as http:
        for path, content in ((CHAT, json.dumps(body())), (f"{CHAT}/chat/stop", "")):
            answered = await http.post(
                path, content=content, headers={"Sec-Fetch-Site": "cross-site"}
            )
            assert answered.status_code == 403


async def test_a_stream_that_its_chat_cannot_name_is_cancelled(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[str] = []

    async def fail(_: Pointers, _owner: str, _name: str, value: str) -> None:
        put.append(value)
        raise StoreUnavailable

    monkeypatch.setattr(Pointers, "put", fail)
    answered = await http.post(CHAT, json=body())
    assert (answered.status_code, answered.headers["retry-after"]) == (503, "2")
    assert answered.text.startswith("The event log does not answer right now.")
    assert (await snapshot(http, put[0]))["status"] in {"cancelled", "done"}


async def test_a_stop_of_an_older_stream_leaves_the_newer_one(http: httpx.AsyncClient) -> None:
    first = await asked(http)
    second = await http.post("/streams", json={"prompt": "never read, so it waits"})
    stream_id = second.json()["id"]
    for active in (first.id, NOBODYS, "wrong", "../x"):
        answered = await http.post(f"{CHAT}/{stream_id}/stop", json={"activeStreamId": active})
        assert answered.status_code == 204
        assert (await snapshot(http, stream_id))["status"] == "waiting"
    assert (await http.post(f"{CHAT}/{stream_id}/stop")).status_code == 204
    assert (await snapshot(http, stream_id))["status"] == "cancelled"
    assert (await snapshot(http, first.id))["status"] == "done"
    whole = chunks(await http.get(f"{CHAT}/{stream_id}/stream"))
    assert Message(whole).metadata["status"] == "cancelled"


async def test_another_owners_stream_is_not_stopped(http: httpx.AsyncClient) -> None:
    created = (await http.post("/streams", json={"prompt": "never read"})).json()["id"]
    bob = {"Authorization": "Bearer bob"}
    for path, sent in ((created, {}), ("chat-1", {"activeStreamId": created})):
        answered = await http.post(f"{CHAT}/{path}/stop", json=sent, headers=bob)
        assert answered.status_code == 204
    assert (await snapshot(http, created))["status"] == "waiting"


async def test_a_page_of_an_allowed_origin_may_read_the_headers(log: DynamoDBStore) -> None:
    origin = "https://app.example.com"
    settings = Settings(table_name=log._table.name, allowed_origins=(origin,))
    app = create_app(settings, DemoProvider(tokens=1), wires=[ai_sdk.router])
    async with served(app) as http:
        answered = await http.post(CHAT, json=body(), headers={"Origin": origin})
    exposed = answered.headers["access-control-expose-headers"].lower().split(", ")
    assert {"x-workflow-run-id", "x-workflow-stream-tail-index"} <= set(exposed)
