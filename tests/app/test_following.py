"""Conversations: streams that follow one another."""

import gc
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from app.agents import agent
from app.api.schemas import CreateStream
from app.application import create_app
from app.conversation import answer
from app.events import Answer, ToolCall, ToolResult
from app.models.base import Message, Request
from app.models.continuation import conversation
from app.models.demo import DemoProvider
from app.settings import Settings
from app.task import Task
from durable_stream import Event, ProducerFailed
from durable_stream.dynamodb import DynamoDBStore
from tests.app.serving import served

pytestmark = pytest.mark.anyio

UNKNOWN = "x" * 32


class Topic(BaseModel):
    topic: str


@agent(resume="continue")
async def echo(task: Task) -> AsyncGenerator[Event]:
    """Number the turns; fail or use a tool where the prompt says so."""
    prompt = task.input.messages[-1].content
    if prompt == "fail":
        raise ProducerFailed("broken", "Broken.", retryable=False)
    yield Answer(f"{len(task.input.messages)}. {prompt}")
    if prompt == "half":
        raise ProducerFailed("broken", "Broken.", retryable=False)
    if prompt == "tool":
        yield ToolCall("1", "clock", {})
        yield ToolResult("1", "noon")
        yield Answer("It is noon.")


@agent(input=Topic)
async def poet(task: Task[Topic]) -> AsyncGenerator[Event]:
    """Write a poem."""
    yield Answer(task.input.topic)


@pytest.fixture
async def http(log: DynamoDBStore) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(table_name=log._table.name)
    async with served(create_app(settings, DemoProvider(), agents=[echo, poet])) as client:
        yield client


async def created(http: httpx.AsyncClient, prompt: str, previous: str | None = None) -> str:
    """The id of a new stream without a reader."""
    body = {"prompt": prompt} | ({"previous": previous} if previous else {})
    answered = await http.post("/streams", json=body)
    assert answered.status_code == 201, answered.text
    stream_id: str = answered.json()["id"]
    return stream_id


async def ended(http: httpx.AsyncClient, prompt: str, previous: str | None = None) -> str:
    """The id of a stream that was read to its end."""
    stream_id = await created(http, prompt, previous)
    await http.get(f"/streams/{stream_id}/events")
    return stream_id


async def snapshot(http: httpx.AsyncClient, stream_id: str) -> dict[str, Any]:
    told: dict[str, Any] = (await http.get(f"/streams/{stream_id}")).json()
    return told


def turns(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["role"], each["content"]) for each in told["messages"]]


def assert_refused(answered: httpx.Response, status: int, code: str, hint: str) -> None:
    error = answered.json()["error"]
    assert (answered.status_code, error["code"]) == (status, code)
    assert hint in error["message"]


async def test_the_last_stream_of_a_conversation_is_all_of_it(http: httpx.AsyncClient) -> None:
    first = await ended(http, "one")
    second = await ended(http, "two", first)
    third = await ended(http, "three", second)

    told = await snapshot(http, third)
    assert turns(told) == [
        ("user", "one"),
        ("assistant", "1. one"),
        ("user", "two"),
        ("assistant", "3. two"),
        ("user", "three"),
    ]
    assert told["answer"] == "5. three"
    assert told["follows"] == [first, second]
    assert (await snapshot(http, first))["follows"] == []


async def test_streams_that_follow_the_same_one_are_branches(http: httpx.AsyncClient) -> None:
    first = await ended(http, "one")
    left, right = await ended(http, "left", first), await ended(http, "right", first)

    assert turns(await snapshot(http, left))[-1] == ("user", "left")
    assert turns(await snapshot(http, right))[-1] == ("user", "right")
    assert (await snapshot(http, left))["follows"] == (await snapshot(http, right))["follows"]


async def test_an_event_source_can_follow(http: httpx.AsyncClient) -> None:
    first = await ended(http, "one")
    events = await http.get("/sse", params={"prompt": "two", "previous": first})
    assert "3. two" in events.text


async def test_a_key_repeats_a_request_that_follows(http: httpx.AsyncClient) -> None:
    body = {"prompt": "two", "previous": await ended(http, "one")}
    key = {"Idempotency-Key": "k" * 16}
    answers = [await http.post("/streams", json=body, headers=key) for _ in range(2)]
    assert len({each.json()["id"] for each in answers}) == 1


async def test_a_stream_under_way_cannot_be_followed_yet(http: httpx.AsyncClient) -> None:
    first = await created(http, "one")
    refused = await http.post("/streams", json={"prompt": "two", "previous": first})
    assert_refused(refused, 409, "still_streaming", first)

    await http.post(f"/streams/{first}/cancel")
    assert (await snapshot(http, await ended(http, "two", first)))["follows"] == [first]


async def test_what_was_said_before_a_failure_stands(http: httpx.AsyncClient) -> None:
    told = await snapshot(http, await ended(http, "two", await ended(http, "half")))
    assert turns(told) == [("user", "half"), ("assistant", "1. half"), ("user", "two")]


async def test_a_prompt_without_an_answer_stands(http: httpx.AsyncClient) -> None:
    told = await snapshot(http, await ended(http, "two", await ended(http, "fail")))
    assert turns(told) == [("user", "fail"), ("user", "two")]


async def test_the_texts_around_a_tool_are_paragraphs(http: httpx.AsyncClient) -> None:
    told = await snapshot(http, await ended(http, "two", await ended(http, "tool")))
    assert turns(told)[1] == ("assistant", "1. tool\n\nIt is noon.")


def test_texts_with_nothing_between_them_are_one() -> None:
    """Half a surrogate pair, which a cancelled answer may end with, has no UTF-8 form."""
    tool = {"kind": "tool_call", "name": "clock"}
    said = [{"kind": "answer", "text": "a"}, {"kind": "answer", "text": "b", "step": "s"}]
    assert answer([tool, *said]) == "ab"
    assert answer([*said, tool, *said, tool]) == "ab\n\nab"
    assert answer([{"kind": "answer", "text": "a\ud83d"}]) == "a�"
    assert answer([tool]) == answer([]) == ""


def test_thinking_that_another_attempt_repeats_parts_no_word() -> None:
    thought = {"kind": "thinking", "text": "Hm."}
    halves = [{"kind": "answer", "text": "The hel"}, {"kind": "answer", "text": "lo world"}]
    assert answer([thought, halves[0], thought, halves[1]]) == "The hello world"


async def test_a_key_stands_for_one_place_in_a_conversation(http: httpx.AsyncClient) -> None:
    """The two streams have the same text."""
    key = {"Idempotency-Key": "k" * 16}
    for status in (201, 422):
        body = {"prompt": "two", "previous": await ended(http, "one")}
        assert (await http.post("/streams", json=body, headers=key)).status_code == status


async def test_a_refusal_keeps_nothing_of_its_request(http: httpx.AsyncClient) -> None:
    def bodies() -> int:
        gc.collect()
        return sum(isinstance(each, CreateStream) for each in gc.get_objects())

    before = bodies()
    for _ in range(5):
        await http.post("/streams", json={"prompt": "two", "previous": UNKNOWN})
    assert bodies() <= before + 1


@pytest.mark.parametrize("previous", [UNKNOWN, "no", "limit:tokens"])
async def test_an_unknown_stream_cannot_be_followed(http: httpx.AsyncClient, previous: str) -> None:
    body = {"prompt": "two", "previous": previous}
    hint = "begin a new conversation"
    assert_refused(await http.post("/streams", json=body), 404, "stream_not_found", hint)
    assert_refused(await http.get("/sse", params=body), 404, "stream_not_found", hint)


async def test_previous_goes_with_a_prompt(http: httpx.AsyncClient) -> None:
    body = {"messages": [{"role": "user", "content": "two"}], "previous": UNKNOWN}
    assert_refused(await http.post("/streams", json=body), 422, "invalid_request", "`prompt`")


async def test_an_input_of_an_agents_own_is_no_conversation(http: httpx.AsyncClient) -> None:
    answered = await http.post("/streams", json={"agent": "poet", "topic": "rain"})
    first = answered.json()["id"]
    await http.get(f"/streams/{first}/events")

    assert (await snapshot(http, first))["messages"] == []
    refused = await http.post("/streams", json={"prompt": "two", "previous": first})
    assert_refused(refused, 422, "no_conversation", "input of its own")


async def test_an_agent_with_an_input_of_its_own_follows_nothing(http: httpx.AsyncClient) -> None:
    """Its input would ignore the member, and the reader would miss the conversation."""
    first = await ended(http, "one")
    body = {"agent": "poet", "topic": "rain", "previous": first}
    assert_refused(
        await http.post("/streams", json=body), 422, "invalid_request", "no conversation"
    )
    query = {"agent": "poet", "prompt": "rain", "previous": first}
    assert_refused(await http.get("/sse", params=query), 422, "no_conversation", "`previous`")


async def test_an_empty_previous_of_a_form_is_none(http: httpx.AsyncClient) -> None:
    assert "1. one" in (await http.get("/sse", params={"prompt": "one", "previous": ""})).text


async def test_a_conversation_ends_where_one_record_is_full(
    http: httpx.AsyncClient, log: DynamoDBStore
) -> None:
    prompt = "x" * 95_000
    last = await ended(http, prompt)
    last = await ended(http, prompt, last)
    refused = await http.post("/streams", json={"prompt": prompt, "previous": last})
    assert_refused(refused, 413, "conversation_too_long", "begin a new one")

    newest = await log.newest(last)
    assert newest is not None
    assert newest.event.terminal
    await ended(http, "short", last)


def test_messages_of_one_role_are_joined_for_the_model() -> None:
    asked = [("user", "a"), ("user", "b"), ("assistant", "c"), ("user", "d")]
    messages = tuple(Message(*each) for each in asked)
    told = conversation(Request(messages=messages, model="m", max_tokens=1))
    assert told == [Message("user", "a\n\nb"), Message("assistant", "c"), Message("user", "d")]
