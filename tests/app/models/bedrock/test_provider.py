"""Bedrock as a provider: its requests, its answers, and its continuations."""

import asyncio

import pytest

from app.events import Answer, Done, Thinking
from app.models.base import Message, Partial, Request
from app.models.bedrock import BedrockProvider
from tests.app.models.bedrock.asking import MODEL, REQUEST, asked, text_of
from tests.app.models.bedrock.frames import (
    ANSWER,
    START,
    event,
    reasoning,
    stop,
    text,
    usage,
)
from tests.app.models.bedrock.server import Server, Talk, saying

pytestmark = pytest.mark.anyio

CLAUDE_4_5 = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
CLAUDE_4_6 = "us.anthropic.claude-opus-4-6-v1"


# Requests


async def test_a_request_is_sent_whole(server: Server, provider: BedrockProvider) -> None:
    server.answer = saying(*ANSWER)
    request = Request(
        messages=(Message("user", "a"), Message("assistant", "b"), Message("user", "c")),
        model="arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
        max_tokens=5,
        temperature=0.0,
        system="Be brief.",
        stop=("END", "\n\n"),
    )

    await asked(provider, request)

    (talk,) = server.talks
    assert talk.path == f"/model/{request.model}/converse-stream"
    assert talk.body == {
        "messages": [
            {"role": "user", "content": [{"text": "a"}]},
            {"role": "assistant", "content": [{"text": "b"}]},
            {"role": "user", "content": [{"text": "c"}]},
        ],
        "system": [{"text": "Be brief."}],
        "inferenceConfig": {"maxTokens": 5, "temperature": 0.0, "stopSequences": ["END", "\n\n"]},
    }


async def test_what_is_not_asked_for_is_not_sent_but_max_tokens_always(
    server: Server, provider: BedrockProvider
) -> None:
    """Without it, Bedrock reserves quota for the model's longest answer."""
    server.answer = saying(*ANSWER)

    await asked(provider)

    (talk,) = server.talks
    assert talk.body == {
        "messages": [{"role": "user", "content": [{"text": "Say hello"}]}],
        "inferenceConfig": {"maxTokens": 77},
    }


async def test_turns_of_one_role_in_a_row_become_one(
    server: Server, provider: BedrockProvider
) -> None:
    server.answer = saying(*ANSWER)
    messages = (Message("user", "a"), Message("user", "b"))

    await asked(provider, Request(messages=messages, model=MODEL, max_tokens=5))

    (talk,) = server.talks
    assert talk.body["messages"] == [{"role": "user", "content": [{"text": "a\n\nb"}]}]


# Answers


async def test_text_reasoning_and_usage_come_as_deltas(
    server: Server, provider: BedrockProvider
) -> None:
    server.answer = saying(*ANSWER)

    deltas, code = await asked(provider)

    assert code is None
    assert deltas == [
        Thinking("Hm. "),
        Answer("Hello"),
        Answer(", wörld"),
        Done("stop", 11, 22),
    ]


async def test_a_delta_is_there_before_the_next_is_sent(
    server: Server, provider: BedrockProvider
) -> None:
    told = asyncio.Event()

    async def answer(talk: Talk) -> None:
        await talk.head()
        await talk.chunks(START, text("first"))
        await told.wait()
        await talk.chunks(text("second"), stop(), usage())
        await talk.end()

    server.answer = answer
    async with asyncio.timeout(5):
        stream = provider.stream(REQUEST, Partial())
        assert await anext(stream) == Answer("first")
        told.set()
        assert await anext(stream) == Answer("second")
        await stream.aclose()


async def test_where_frames_are_cut_into_chunks_does_not_matter(
    server: Server, provider: BedrockProvider
) -> None:
    whole = b"".join(ANSWER)
    for size in (1, 7, 64, len(whole)):
        server.answer = saying(*(whole[i : i + size] for i in range(0, len(whole), size)))

        deltas, _ = await asked(provider)

        assert text_of(deltas) == "Hello, wörld"
        assert deltas[-1] == Done("stop", 11, 22)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("something_new", "stop"),
    ],
)
async def test_an_answer_ends_for_a_reason(
    server: Server, provider: BedrockProvider, reason: str, finish: str
) -> None:
    server.answer = saying(START, text("a"), stop(reason), usage())

    assert await asked(provider) == ([Answer("a"), Done(finish, 11, 22)], None)


async def test_what_is_new_or_not_text_is_passed_over(
    server: Server, provider: BedrockProvider
) -> None:
    server.answer = saying(
        START,
        event("contentBlockStart", {"contentBlockIndex": 0, "start": {"somethingNew": {}}}),
        event("somethingNew", {"text": "no"}),
        event("contentBlockDelta", {"delta": {"citation": {"title": "no"}}}),
        event("contentBlockDelta", {"delta": {"somethingNew": "no"}}),
        event("contentBlockDelta", {}),
        reasoning(redactedContent="bm8="),
        text(""),
        text("yes"),
        stop(),
        usage(),
    )

    assert await asked(provider) == ([Answer("yes"), Done("stop", 11, 22)], None)


async def test_token_counts_are_not_waited_for_for_ever(
    server: Server, provider: BedrockProvider
) -> None:
    async def answer(talk: Talk) -> None:
        await talk.head()
        await talk.chunks(START, text("a"), stop())
        await talk.hung_up_within(5)

    server.answer = answer

    assert await asked(provider) == ([Answer("a"), Done("stop", None, None)], None)


async def test_token_counts_are_kept_where_the_body_stays_open(
    server: Server, provider: BedrockProvider
) -> None:
    async def answer(talk: Talk) -> None:
        await talk.head()
        await talk.chunks(START, text("a"), stop(), usage())
        await talk.hung_up_within(5)

    server.answer = answer

    assert await asked(provider) == ([Answer("a"), Done("stop", 11, 22)], None)


# Continuations


async def test_claude_up_to_4_5_is_given_its_beginning_without_white_space_at_the_end(
    server: Server, provider: BedrockProvider
) -> None:
    server.answer = saying(START, text("\n world"), stop(), usage())
    request = Request(messages=(Message("user", "hi"),), model=CLAUDE_4_5, max_tokens=50)
    assert provider.continuation(request) == "prefill"

    deltas, _ = await asked(provider, request, Partial("hm", "Hello,\n"))

    (talk,) = server.talks
    assert talk.body["messages"] == [
        {"role": "user", "content": [{"text": "hi"}]},
        {"role": "assistant", "content": [{"text": "Hello,"}]},
    ]
    assert text_of(deltas) == " world"


async def test_what_follows_a_prefill_is_never_taken_for_a_repetition(
    server: Server, provider: BedrockProvider
) -> None:
    server.answer = saying(START, text("ha ha ha ha ha ha, "), text("stop!"), stop(), usage())
    request = Request(messages=(Message("user", "hi"),), model=CLAUDE_4_5, max_tokens=50)

    deltas, _ = await asked(provider, request, Partial("", "ha ha ha ha ha ha"))

    assert text_of(deltas) == "ha ha ha ha ha ha, stop!"


@pytest.mark.parametrize("model", [CLAUDE_4_6, MODEL])
async def test_any_other_model_is_asked_for_the_rest(
    server: Server, provider: BedrockProvider, model: str
) -> None:
    """Newer Claudes refuse a conversation that ends with their own turn."""
    server.answer = saying(START, text("brown fox jumps"), text(" high"), stop(), usage())
    request = Request(messages=(Message("user", "hi"),), model=model, max_tokens=50)
    assert provider.continuation(request) == "asked"

    deltas, _ = await asked(provider, request, Partial("", "The quick brown fox jumps"))

    (talk,) = server.talks
    (turn,) = talk.body["messages"]
    assert turn["role"] == "user"
    assert "<delivered>The quick brown fox jumps</delivered>" in turn["content"][0]["text"]
    assert text_of(deltas) == " high"


@pytest.mark.parametrize("model", [CLAUDE_4_5, MODEL])
@pytest.mark.parametrize("answer", ["", " \n"])
async def test_where_nothing_was_said_the_request_goes_as_it_is(
    server: Server, provider: BedrockProvider, model: str, answer: str
) -> None:
    """Bedrock refuses a blank turn."""
    server.answer = saying(START, text("Hi"), stop(), usage())
    request = Request(messages=(Message("user", "hi"),), model=model, max_tokens=50)

    await asked(provider, request, Partial("thoughts", answer))

    (talk,) = server.talks
    assert talk.body["messages"] == [{"role": "user", "content": [{"text": "hi"}]}]


# Settings


def test_models_are_an_allow_list_with_the_default_first() -> None:
    provider = BedrockProvider.from_environ({"MODELS": f" {CLAUDE_4_5} ,{MODEL},"})

    assert provider.models == (CLAUDE_4_5, MODEL)


@pytest.mark.parametrize("models", ["", " , "])
def test_without_models_it_says_what_to_set(models: str) -> None:
    with pytest.raises(ValueError, match="MODELS is not set: name the models"):
        BedrockProvider.from_environ({"MODELS": models})
