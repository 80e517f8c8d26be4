"""The requests to Anthropic, and the meaning of its events."""

from dataclasses import replace
from typing import Any

import pytest

from app.events import Answer, Done
from app.models.anthropic import AnthropicProvider
from app.models.base import Partial, Request
from tests.app.models.anthropic.wire import (
    BLOCK_STOP,
    MESSAGE_STOP,
    PING,
    WIRE,
    block_delta,
    block_start,
    message_delta,
    message_start,
)
from tests.app.models.http.model_server import End, ModelServer, Reply
from tests.app.models.wires import KEY, PROMPT, REQUEST, Connect, Wire, asked, failure_of, frame

pytestmark = pytest.mark.anyio

START = message_start(input_tokens=11, output_tokens=1)
TEXT = block_delta(type="text_delta", text="text")
END = message_delta("end_turn", output_tokens=7)
OLD = replace(REQUEST, model="claude-sonnet-4-5")
NEW = replace(REQUEST, model="claude-opus-4-6")


@pytest.fixture
def wire() -> Wire:
    return WIRE


async def body_of(
    server: ModelServer, connect: Connect, request: Request = REQUEST, said: str = ""
) -> dict[str, Any]:
    """The body that the server receives."""
    server.answer = lambda _: Reply([START, TEXT, END, MESSAGE_STOP])
    await asked(connect(), request, Partial(answer=said))
    return server.asked[-1].body


# Requests


async def test_the_request_says_only_what_was_asked(server: ModelServer, connect: Connect) -> None:
    assert await body_of(server, connect) == {
        "model": "a-model",
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": 100,
        "stream": True,
    }
    assert server.asked[0].path == "/v1/messages"
    assert server.asked[0].headers["x-api-key"] == KEY
    assert server.asked[0].headers["anthropic-version"] == "2023-06-01"


async def test_all_that_a_request_can_say_is_sent(server: ModelServer, connect: Connect) -> None:
    request = replace(REQUEST, system="be brief", temperature=0.0, stop=("END",))

    body = await body_of(server, connect, request)

    assert body["system"] == "be brief"
    assert body["temperature"] == 0.0
    assert body["stop_sequences"] == ["END"]


def test_without_a_key_the_setting_is_named() -> None:
    with pytest.raises(ValueError, match="ANTHROPIC_API_KEY"):
        AnthropicProvider.from_environ({"MODELS": "m"})


# Continuations


async def test_claude_up_to_4_5_is_given_its_answer_so_far(
    server: ModelServer, connect: Connect
) -> None:
    body = await body_of(server, connect, OLD, said="half an \n")

    assert body["messages"][1:] == [{"role": "assistant", "content": "half an"}]
    assert connect().continuation(OLD) == "prefill"


async def test_claude_from_4_6_on_is_asked_for_the_rest(
    server: ModelServer, connect: Connect
) -> None:
    """It refuses a conversation that does not end with the user."""
    body = await body_of(server, connect, NEW, said="half an ans")

    (question,) = body["messages"]
    assert "<delivered>half an ans</delivered>" in question["content"]
    assert connect().continuation(NEW) == "asked"


# Events


async def test_text_and_thinking_at_a_blocks_start_count(
    server: ModelServer, connect: Connect
) -> None:
    te, xt = block_start(type="text", text="te"), block_delta(type="text_delta", text="xt")
    server.answer = lambda _: Reply([START, te, xt, BLOCK_STOP, END, MESSAGE_STOP])

    deltas, _ = await asked(connect())

    assert deltas == [Answer("te"), Answer("xt"), Done("stop", 11, 7)]


@pytest.mark.parametrize(
    ("first", "last", "finish"),
    [
        (message_start(), message_delta("end_turn"), Done("stop", None, None)),
        (
            message_start(input_tokens=1, cache_read_input_tokens=4, cache_creation_input_tokens=6),
            message_delta("end_turn", output_tokens=7),
            Done("stop", 11, 7),
        ),
        (
            message_start(input_tokens=1, output_tokens=1),
            message_delta("end_turn", input_tokens=11, output_tokens=7),
            Done("stop", 11, 7),
        ),
        (START, message_delta("max_tokens", output_tokens=7), Done("length", 11, 7)),
        (START, message_delta("stop_sequence", output_tokens=7), Done("stop", 11, 7)),
        (START, message_delta("a reason to come", output_tokens=7), Done("stop", 11, 7)),
        (
            START,
            message_delta("model_context_window_exceeded", output_tokens=7),
            Done("length", 11, 7),
        ),
    ],
)
async def test_the_finish_has_the_reason_and_the_last_counts(
    server: ModelServer, connect: Connect, first: bytes, last: bytes, finish: Done
) -> None:
    server.answer = lambda _: Reply([first, TEXT, last, MESSAGE_STOP])

    assert await asked(connect()) == ([Answer("text"), finish], None)


async def test_events_and_deltas_of_types_to_come_are_passed_over(
    server: ModelServer, connect: Connect
) -> None:
    to_come = [
        frame({"type": "message_mood", "delta": {"mood": "good"}}, "message_mood"),
        block_start(type="hologram", data="…"),
        block_delta(type="hologram_delta", data="…"),
        block_delta(type="citations_delta", citation={"type": "char_location"}),
        PING,
    ]
    server.answer = lambda _: Reply([START, *to_come, TEXT, *to_come, END, MESSAGE_STOP])

    assert await asked(connect()) == ([Answer("text"), Done("stop", 11, 7)], None)


async def test_a_body_that_is_held_open_behind_the_stop_is_not_waited_for(
    server: ModelServer, connect: Connect
) -> None:
    server.answer = lambda _: Reply([START, TEXT, END, MESSAGE_STOP], End.HELD)

    assert await asked(connect()) == ([Answer("text"), Done("stop", 11, 7)], None)


# Bad ends


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        ([START, TEXT], None),
        ([START, TEXT, END], 7),
        ([START, TEXT, END, TEXT], None),
        ([START, TEXT, message_delta(None, output_tokens=0)], None),
    ],
)
async def test_a_failure_tells_the_tokens_where_the_server_has_counted_all_that_was_said(
    server: ModelServer, connect: Connect, frames: list[bytes], told: int | None
) -> None:
    """The count at a message's start excludes its text."""
    server.answer = lambda _: Reply(frames)

    assert (await failure_of(connect())).output_tokens == told


async def test_an_end_for_an_unknown_reason_and_without_an_answer_is_a_failure(
    server: ModelServer, connect: Connect
) -> None:
    server.answer = lambda _: Reply([START, message_delta("a reason to come"), MESSAGE_STOP])

    assert await asked(connect()) == ([], "provider_rejected")


def error(kind: str) -> bytes:
    said = {"type": "error", "error": {"type": kind, "message": f"{PROMPT} {KEY}"}}
    return frame(said, "error")


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (message_delta("refusal"), "content_filtered"),
        (message_delta("tool_use"), "tool_use_unsupported"),
        (message_delta("pause_turn"), "tool_use_unsupported"),
        (message_delta(None), "provider_cut"),
        (b"", "provider_cut"),
        (error("overloaded_error"), "provider_overloaded"),
        (error("api_error"), "provider_failed"),
        (error("rate_limit_error"), "provider_throttled"),
        (error("invalid_request_error"), "provider_failed"),
        (error("a_type_to_come"), "provider_failed"),
    ],
)
async def test_a_bad_end_is_a_failure_and_what_was_said_has_been_said(
    server: ModelServer, connect: Connect, last: bytes, code: str
) -> None:
    server.answer = lambda _: Reply([START, TEXT, last, MESSAGE_STOP])

    assert await asked(connect()) == ([Answer("text")], code)
