"""The requests to OpenAI-compatible servers, and the variants of their answers."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from app.events import Answer, Done, Thinking
from app.models.base import Message, Partial, Request
from app.models.openai import OpenAIProvider
from durable_stream import Event
from tests.app.models.http.model_server import End, ModelServer, Reply, refusing
from tests.app.models.openai.wire import DONE, USAGE, WIRE, chunk
from tests.app.models.wires import (
    DELTAS,
    KEY,
    PROMPT,
    REQUEST,
    Connect,
    Wire,
    asked,
    failure_of,
    frame,
)

pytestmark = pytest.mark.anyio

TEXT = chunk({"content": "text"})
STOP = chunk({}, "stop")
UNCOUNTED = [Answer("text"), Done("stop", None, None)]
COUNTED = [Answer("text"), Done("stop", 11, 7)]


@pytest.fixture
def wire() -> Wire:
    return WIRE


async def body_of(
    server: ModelServer,
    connect: Connect,
    request: Request = REQUEST,
    said: str = "",
    **environ: str,
) -> dict[str, Any]:
    """The body that the server receives."""
    server.answer = lambda _: Reply([TEXT, STOP, DONE])
    await asked(connect(**environ), request, Partial(answer=said))
    return server.asked[-1].body


# Requests


async def test_the_request_says_only_what_was_asked(server: ModelServer, connect: Connect) -> None:
    assert await body_of(server, connect) == {
        "model": "a-model",
        "messages": [{"role": "user", "content": PROMPT}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 100,
    }
    assert server.asked[0].path == "/chat/completions"
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert server.asked[0].headers["accept-encoding"] == "identity"


async def test_all_that_a_request_can_say_is_sent(server: ModelServer, connect: Connect) -> None:
    request = replace(REQUEST, system="be brief", temperature=0.0, stop=("END", "\n\n"))

    body = await body_of(server, connect, request)

    assert body["messages"][0] == {"role": "system", "content": "be brief"}
    assert body["temperature"] == 0.0
    assert body["stop"] == ["END", "\n\n"]


async def test_a_server_of_ones_own_needs_no_key(server: ModelServer) -> None:
    server.answer = lambda _: Reply(WIRE.frames)
    environ = {"MODELS": "m", "OPENAI_BASE_URL": f"{server.url}/v1/"}
    provider = OpenAIProvider.from_environ(environ)

    assert await asked(provider) == (DELTAS, None)
    await provider.close()
    assert server.asked[0].path == "/v1/chat/completions"
    assert "authorization" not in server.asked[0].headers


def test_the_hosted_one_needs_a_key() -> None:
    with pytest.raises(ValueError, match="OPENAI_API_KEY"):
        OpenAIProvider.from_environ({"MODELS": "m"})


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("https://mine.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("https://notopenai.com/v1", "max_tokens"),
        ("http://127.0.0.1:11434/v1", "max_tokens"),
    ],
)
def test_hosted_reasoning_models_refuse_max_tokens_and_others_know_nothing_else(
    url: str, name: str
) -> None:
    provider = WIRE.provider(url)

    assert isinstance(provider, OpenAIProvider)
    assert provider.body(REQUEST)[name] == 100


# Continuations


async def test_without_prefill_the_model_is_asked_for_the_rest(
    server: ModelServer, connect: Connect
) -> None:
    body = await body_of(server, connect, said="half an ans")

    (question,) = body["messages"]
    assert question["role"] == "user"
    assert "<delivered>half an ans</delivered>" in question["content"]
    assert "continue_final_message" not in body


async def test_with_prefill_the_answer_so_far_is_the_assistants_turn_begun(
    server: ModelServer, connect: Connect
) -> None:
    body = await body_of(server, connect, said="half an \n", OPENAI_PREFILL="true")

    assert body["messages"][1:] == [{"role": "assistant", "content": "half an"}]
    assert body["continue_final_message"] is True
    assert body["add_generation_prompt"] is False


@pytest.mark.parametrize("prefill", ["true", "false"])
async def test_with_nothing_said_the_request_is_the_same(
    server: ModelServer, connect: Connect, prefill: str
) -> None:
    assert await body_of(server, connect, OPENAI_PREFILL=prefill) == await body_of(server, connect)


async def test_an_earlier_turn_of_the_assistants_is_no_prefill(
    server: ModelServer, connect: Connect
) -> None:
    turns = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))

    body = await body_of(server, connect, replace(REQUEST, messages=turns), OPENAI_PREFILL="true")

    assert "continue_final_message" not in body


@pytest.mark.parametrize(
    ("prefill", "how", "rest"),
    [("true", "prefill", "once upon a time again"), ("false", "asked", "again")],
)
async def test_only_one_that_was_asked_is_taken_to_repeat_itself(
    server: ModelServer, connect: Connect, prefill: str, how: str, rest: str
) -> None:
    server.answer = lambda _: Reply([chunk({"content": "once upon a time again"}), STOP, DONE])
    provider = connect(OPENAI_PREFILL=prefill)

    deltas, _ = await asked(provider, delivered=Partial(answer="once upon a time "))

    assert deltas[0] == Answer(rest)
    assert provider.continuation(REQUEST) == how


def test_a_switch_that_is_neither_on_nor_off_is_refused() -> None:
    with pytest.raises(ValueError, match="OPENAI_PREFILL"):
        WIRE.provider("http://host", OPENAI_PREFILL="vllm")


# Variants


@pytest.mark.parametrize(
    ("frames", "deltas"),
    [
        pytest.param([TEXT, STOP], UNCOUNTED, id="no usage and no [DONE]"),
        pytest.param([TEXT, STOP, USAGE], COUNTED, id="usage behind the finish"),
        pytest.param([TEXT, STOP, DONE, USAGE], COUNTED, id="usage behind [DONE]"),
        pytest.param(
            [TEXT, chunk({}, "stop", usage={"prompt_tokens": 11, "completion_tokens": 7})],
            COUNTED,
            id="usage with the finish (llama.cpp)",
        ),
        pytest.param(
            [chunk({"content": "text"}, usage={"prompt_tokens": 11}), STOP, USAGE, DONE],
            COUNTED,
            id="usage so far in every chunk",
        ),
        pytest.param(
            [chunk({"content": "text"}, "stop", usage=None), USAGE], COUNTED, id="all in one chunk"
        ),
        pytest.param(
            [chunk({"role": "assistant", "content": None}), TEXT, chunk({"content": None}, "stop")],
            UNCOUNTED,
            id="content is null",
        ),
        pytest.param([TEXT, chunk(None, "stop"), DONE], UNCOUNTED, id="delta is null"),
        pytest.param(
            [frame({"choices": [], "prompt_filter_results": []}), TEXT, STOP, DONE],
            UNCOUNTED,
            id="no choices at first (Azure)",
        ),
        pytest.param(
            [TEXT, STOP, frame({"choices": None, "usage": {"prompt_tokens": None}})],
            UNCOUNTED,
            id="choices and counts are null",
        ),
        pytest.param([chunk({"content": "text"}, ""), STOP, DONE], UNCOUNTED, id="empty reason"),
        pytest.param([TEXT, STOP, STOP, DONE], UNCOUNTED, id="finished twice"),
        pytest.param([STOP, TEXT, DONE], UNCOUNTED, id="text behind the finish"),
        pytest.param([TEXT, STOP, b"data: rubbish\n\n"], UNCOUNTED, id="rubbish behind the finish"),
        pytest.param(
            [TEXT, STOP, frame({"error": "too late"})], UNCOUNTED, id="error behind the finish"
        ),
        pytest.param(
            [TEXT.replace(b"data: ", b"data:"), STOP.replace(b"data: ", b"data:")],
            UNCOUNTED,
            id="no space behind the colon",
        ),
    ],
)
async def test_what_servers_disagree_about_is_taken_as_it_comes(
    server: ModelServer, connect: Connect, frames: list[bytes], deltas: list[Event]
) -> None:
    server.answer = lambda _: Reply(frames)

    assert await asked(connect()) == (deltas, None)


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning": "hm"},
        {"reasoning_content": "hm"},
        {"reasoning": "hm", "reasoning_content": "hm"},
        {"reasoning": None, "reasoning_content": "hm", "content": None},
    ],
)
async def test_reasoning_is_thinking_under_either_name_and_once_under_both(
    server: ModelServer, connect: Connect, delta: dict[str, str | None]
) -> None:
    server.answer = lambda _: Reply([chunk(delta), TEXT, STOP, DONE])

    assert await asked(connect()) == ([Thinking("hm"), *UNCOUNTED], None)


@pytest.mark.parametrize("frames", [[TEXT, STOP], [TEXT, STOP, USAGE, DONE]])
async def test_a_body_that_is_held_open_behind_the_finish_is_not_waited_for(
    server: ModelServer, connect: Connect, frames: list[bytes]
) -> None:
    """As Bedrock's endpoint does; the wait for the usage is short."""
    server.answer = lambda _: Reply(frames, End.HELD)
    provider = connect()
    begun = time.monotonic()

    deltas, code = await asked(provider)

    assert (deltas, code) == (COUNTED if USAGE in frames else UNCOUNTED, None)
    assert time.monotonic() - begun < 4
    async with asyncio.timeout(1):
        await server.asked[0].left.wait()


async def test_done_without_a_finish_reason_is_a_cut(server: ModelServer, connect: Connect) -> None:
    server.answer = lambda _: Reply([TEXT, DONE], End.HELD)

    assert await asked(connect()) == ([Answer("text")], "provider_cut")


# Ends


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("eos_token", "stop"),
        ("stop_sequence", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("max_tokens", "length"),
        ("something new", "stop"),
    ],
)
async def test_a_good_end_is_stop_or_length(
    server: ModelServer, connect: Connect, reason: str, finish: str
) -> None:
    server.answer = lambda _: Reply([TEXT, chunk({}, reason), DONE])

    deltas, code = await asked(connect())

    assert (deltas[-1], code) == (Done(finish, None, None), None)


async def test_an_end_for_an_unknown_reason_and_without_an_answer_is_a_failure(
    server: ModelServer, connect: Connect
) -> None:
    thinking = chunk({"reasoning": "hm"})
    server.answer = lambda _: Reply([thinking, chunk({}, "something new"), DONE])

    assert await asked(connect()) == ([Thinking("hm")], "provider_rejected")


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (chunk({}, "content_filter"), "content_filtered"),
        (chunk({"refusal": "I will not"}), "content_filtered"),
        (chunk({"tool_calls": []}, "tool_calls"), "tool_use_unsupported"),
        (chunk({}, "function_call"), "tool_use_unsupported"),
        (chunk({}, "error"), "provider_failed"),
        (chunk({}, "abort"), "provider_cut"),
        (chunk({}, "insufficient_system_resource"), "provider_overloaded"),
        (frame({"error": {"message": "oh", "code": 502}}), "provider_failed"),
        (frame({"error": {"message": "oh", "code": 429}}), "provider_throttled"),
        (frame({"error": {"code": "rate_limit_exceeded"}}), "provider_throttled"),
        (frame({"error": {"type": "overloaded_error"}}), "provider_overloaded"),
        (frame({"error": "oh"}), "provider_failed"),
        (frame({"error": {"code": "context_length_exceeded"}}, "error"), "context_too_long"),
        (frame({"object": "error", "message": "oh", "code": 400}), "provider_rejected"),
        (chunk({}, "error", error={"code": 503}), "provider_overloaded"),
    ],
)
async def test_a_bad_end_is_a_failure_and_what_was_said_has_been_said(
    server: ModelServer, connect: Connect, last: bytes, code: str
) -> None:
    server.answer = lambda _: Reply([TEXT, last, DONE])

    assert await asked(connect()) == ([Answer("text")], code)


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        ([chunk({"content": "a"}, usage={"completion_tokens": 30})], 30),
        ([TEXT, chunk({}, "abort", usage={"completion_tokens": 30})], 30),
        ([TEXT, USAGE], 7),
        ([chunk({"content": "a"}, usage={"completion_tokens": 30}), TEXT], None),
        ([chunk({"content": "a"}, usage={"completion_tokens": 0})], None),
        ([TEXT], None),
    ],
)
async def test_a_failure_tells_the_tokens_where_the_server_has_counted_all_that_was_said(
    server: ModelServer, connect: Connect, frames: list[bytes], told: int | None
) -> None:
    server.answer = lambda _: Reply(frames)

    assert (await failure_of(connect())).output_tokens == told


async def test_throttled_before_the_first_token_is_told_and_not_asked_again(
    server: ModelServer, connect: Connect
) -> None:
    body = b'{"error": {"type": "tokens", "code": "rate_limit_exceeded"}}'
    server.answer = lambda _: refusing(429, body, "Retry-After: 1\r\n")

    assert await asked(connect()) == ([], "provider_throttled")
    assert len(server.asked) == 1
