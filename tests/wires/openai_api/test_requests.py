"""From a body of OpenAI's API to the body of a stream: what is taken, refused and ignored."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pydantic import BaseModel

from app.agents import Agents, agent
from app.events import Answer
from app.exceptions import RequestRefused
from app.task import Task
from app.wires.bodies import valid
from app.wires.openai.requests import CompletionForm, ResponseForm, of_completion, of_response
from durable_stream import Event

MODELS = ("small", "large")
STREAM = "s" * 32


class Topic(BaseModel):
    topic: str


@agent(input=Topic)
async def poet(_: Task[Topic]) -> AsyncGenerator[Event]:
    """Write a poem."""
    yield Answer("")


@agent()
async def chat(_: Task) -> AsyncGenerator[Event]:
    """Answer."""
    yield Answer("")


@agent()
async def clerk(_: Task) -> AsyncGenerator[Event]:
    """Answer with tools."""
    yield Answer("")


AGENTS = Agents([poet, chat, clerk])


def response(**members: Any) -> dict[str, Any]:
    form = valid(ResponseForm, {"model": "small", "input": "hello"} | members)
    return of_response(form, AGENTS, MODELS).model_dump(exclude_none=True)


def completion(*messages: Any, **members: Any) -> dict[str, Any]:
    body = {"model": "small", "messages": list(messages) or [user("hello")]} | members
    return of_completion(valid(CompletionForm, body), AGENTS, MODELS).model_dump(exclude_none=True)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def refused(**members: Any) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        response(**members)
    return caught.value


def refused_completion(*messages: Any, **members: Any) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        completion(*messages, **members)
    return caught.value


def test_a_text_is_a_message_of_the_user() -> None:
    assert response() == {"agent": "chat", "model": "small", "messages": [user("hello")]}
    assert completion() == response()


def test_a_model_may_be_an_agent() -> None:
    assert response(model="clerk")["agent"] == "clerk"
    assert "model" not in response(model="clerk")
    assert response(model=None)["agent"] == "chat"


@pytest.mark.parametrize("name", ["none", "poet"])
def test_an_agent_with_an_input_of_its_own_is_no_model(name: str) -> None:
    error = refused(model=name)
    assert (error.status, error.code, error.param) == (404, "model_not_found", "model")
    assert name not in error.message.partition(":")[0]


def test_instructions_are_the_system_text_with_the_messages_of_the_system() -> None:
    items = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "input_text", "text": "And kind."}]},
        user([{"type": "input_text", "text": "hel"}, {"type": "input_text", "text": "lo"}]),
    ]
    taken = response(input=items, instructions="You are a clerk.")
    assert taken["system"] == "You are a clerk.\n\nBe brief.\n\nAnd kind."
    assert taken["messages"] == [user("hello")]


def test_an_earlier_answer_is_its_text() -> None:
    items = [
        user("a"),
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "x"},
        user("c"),
    ]
    assert response(input=items)["messages"] == [
        user("a"),
        {"role": "assistant", "content": "b"},
        user("c"),
    ]


def test_a_turn_that_only_called_tools_is_left_out() -> None:
    calls: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [{}]}
    assert completion(user("a"), calls, user("b"))["messages"] == [user("a"), user("b")]


def test_a_follow_up_is_the_next_text_of_the_user() -> None:
    taken = response(previous_response_id=f"resp_{STREAM}", input=[user("a"), user("b")])
    assert (taken["previous"], taken["prompt"]) == (STREAM, "a\n\nb")
    assert "messages" not in taken


def test_a_follow_up_brings_no_answer_of_its_own() -> None:
    items = [{"role": "assistant", "content": "a"}, user("b")]
    assert refused(previous_response_id=f"resp_{STREAM}", input=items).param == "input"


def test_limits_go_by_the_names_of_each_api() -> None:
    assert response(max_output_tokens=5, temperature=1)["max_tokens"] == 5
    assert completion(max_tokens=5)["max_tokens"] == 5
    assert completion(max_tokens=9, max_completion_tokens=5)["max_tokens"] == 5
    assert completion(stop="x")["stop"] == ["x"]
    assert refused(max_output_tokens=0).param == "max_output_tokens"
    assert refused_completion(max_tokens=0).param == "max_tokens"
    assert refused_completion(max_completion_tokens=0).param == "max_completion_tokens"
    assert refused_completion(stop=["a"] * 5).param == "stop"
    assert refused(temperature=3).param == "temperature"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tools", [{"type": "function", "name": "f"}]),
        ("tool_choice", {"type": "function", "name": "f"}),
        ("n", 2),
        ("top_p", 0.5),
        ("conversation", "conv_1"),
        ("prompt", {"id": "pmpt_1"}),
        ("logprobs", True),
        ("response_format", {"type": "json_object"}),
    ],
)
def test_what_changes_the_answer_and_has_no_equal_is_refused_by_its_name(
    name: str, value: Any
) -> None:
    for error in (refused(**{name: value}), refused_completion(**{name: value})):
        assert (error.status, error.code, error.param) == (400, "unsupported_value", name)


def test_only_plain_text_is_answered() -> None:
    assert refused(text={"format": {"type": "json_object"}}).param == "text.format"
    assert response(text={"format": {"type": "text"}, "verbosity": "low"})["messages"]


def test_what_does_not_change_the_answer_is_ignored() -> None:
    idle = {
        "store": False,
        "metadata": {"a": "b"},
        "user": "someone",
        "prompt_cache_key": "a",
        "safety_identifier": "b",
        "tools": [],
        "tool_choice": "auto",
        "n": 1,
        "top_p": 1,
        "a_member_of_the_next_release": {"a": 1},
    }
    assert response(**idle) == response()
    assert completion(**idle) == completion()


@pytest.mark.parametrize(
    ("item", "param"),
    [
        (user([{"type": "input_image", "image_url": "x"}]), "input.0.content.0"),
        (user([{"type": "input_text"}]), "input.0.content.0"),
        (user(5), "input.0.content"),
        ({"role": "tool", "content": "a"}, "input.0.role"),
        ({"type": "item_reference", "id": "a"}, "input.0.type"),
        ("hello", "input.0"),
        (user(""), "input"),
        (user("\ud83d"), "input"),
        ({"role": "assistant", "content": "a"}, "input"),
    ],
)
def test_an_item_that_cannot_be_taken_is_named(item: Any, param: str) -> None:
    error = refused(input=[item])
    assert (error.status, error.param) == (400, param)


def test_an_image_in_a_message_is_named() -> None:
    image = user([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}])
    assert refused_completion(image).param == "messages.0.content.1"


def test_metadata_is_short() -> None:
    assert (refused(metadata={str(n): "" for n in range(17)}).param or "").startswith("metadata")
    assert (refused(metadata={"a": "b" * 513}).param or "").startswith("metadata")
