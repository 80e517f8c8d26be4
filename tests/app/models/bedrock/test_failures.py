"""Each failure of Bedrock has one code, whichever layer notices it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import get_args

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.events import Answer, Done, Thinking
from app.models.bedrock import BedrockProvider
from app.models.deadlines import Deadlines
from app.models.failures import Code, Final, Passing
from app.settings import APP_NAME
from durable_stream import Event
from tests.app.models.bedrock.asking import DELTAS, MODEL, asked
from tests.app.models.bedrock.frames import (
    ANSWER,
    START,
    error,
    event,
    exception,
    frame,
    header,
    reasoning,
    stop,
    text,
    usage,
)
from tests.app.models.bedrock.server import Server, Talk, saying, serving_at
from tests.app.models.wires import is_free
from tests.ports import refusing_port
from tests.store import CREDENTIALS

pytestmark = pytest.mark.anyio

CODES = {*get_args(Passing), *get_args(Final)}


# Before the stream


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        ((429, "ThrottlingException", "Too many requests, please wait"), "provider_throttled"),
        ((429, "ThrottlingException", "Too many tokens per day, please wait"), "quota_exhausted"),
        ((400, "ServiceQuotaExceededException", ""), "quota_exhausted"),
        ((429, "ModelNotReadyException", ""), "provider_overloaded"),
        ((503, "ServiceUnavailableException", ""), "provider_overloaded"),
        ((408, "ModelTimeoutException", ""), "provider_timeout"),
        ((424, "ModelErrorException", ""), "provider_failed"),
        ((500, "InternalServerException", ""), "provider_failed"),
        (
            (403, "AccessDeniedException", "You don't have access to the model"),
            "model_access_denied",
        ),
        ((403, "AccessDeniedException", "Bearer Token has expired"), "provider_denied"),
        (
            (
                403,
                "AccessDeniedException",
                "Authentication failed: Please make sure your API Key is valid.",
            ),
            "provider_denied",
        ),
        ((403, "UnrecognizedClientException", ""), "provider_denied"),
        ((403, "ExpiredTokenException", ""), "provider_denied"),
        ((403, "InvalidSignatureException", ""), "provider_denied"),
        ((403, "MissingAuthenticationTokenException", ""), "provider_denied"),
        (
            (404, "ResourceNotFoundException", "Could not resolve the foundation model"),
            "unknown_model",
        ),
        (
            (
                404,
                "ResourceNotFoundException",
                "Model use case details have not been submitted for this account.",
            ),
            "model_access_denied",
        ),
        (
            (400, "ValidationException", "Input is too long for requested model."),
            "context_too_long",
        ),
        (
            (
                400,
                "ValidationException",
                "input length and `max_tokens` exceed context limit: 199926 + 21333 > 200000",
            ),
            "context_too_long",
        ),
        ((400, "ValidationException", "prompt is too long: 9 > 8 maximum"), "context_too_long"),
        (
            (400, "ValidationException", "This model's maximum context length is 8192 tokens."),
            "context_too_long",
        ),
        (
            (
                400,
                "ValidationException",
                "Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
            ),
            "context_too_long",
        ),
        (
            (400, "ValidationException", "The provided model identifier is invalid."),
            "unknown_model",
        ),
        (
            (
                400,
                "ValidationException",
                "Invocation of model ID x with on-demand throughput isn't supported.",
            ),
            "unknown_model",
        ),
        ((400, "ValidationException", "Operation not allowed"), "model_access_denied"),
        ((400, "ValidationException", "temperature: 2 is out of range"), "provider_rejected"),
        ((413, "RequestEntityTooLargeException", ""), "context_too_long"),
        # An unknown error is decided by its status.
        ((400, "SomethingNewException", ""), "provider_rejected"),
        ((401, "SomethingNewException", ""), "provider_denied"),
        ((403, "SomethingNewException", ""), "model_access_denied"),
        ((418, "SomethingNewException", ""), "provider_rejected"),
        ((429, "SomethingNewException", ""), "provider_throttled"),
        ((502, "SomethingNewException", ""), "provider_failed"),
        ((504, "SomethingNewException", ""), "provider_timeout"),
    ],
)
async def test_a_refused_request_has_a_code(
    server: Server, provider: BedrockProvider, refusal: tuple[int, str, str], code: Code
) -> None:
    async def answer(talk: Talk) -> None:
        await talk.refuse(*refusal)

    server.answer = answer

    assert await asked(provider) == ([], code)
    assert len(server.talks) == 1, "the caller retries"


async def test_a_proxys_error_page_is_told_by_its_status(
    server: Server, provider: BedrockProvider
) -> None:
    async def answer(talk: Talk) -> None:
        await talk.head(503, Content_Type="text/html")
        await talk.chunks(b"<html>Service Unavailable</html>")
        await talk.end()

    server.answer = answer

    assert await asked(provider) == ([], "provider_overloaded")


async def test_nothing_that_bedrock_says_is_logged_or_shown(
    server: Server, provider: BedrockProvider, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(talk: Talk) -> None:
        await talk.refuse(400, "ValidationException", "bad: 'a secret prompt'")

    server.answer = answer

    await asked(provider)

    (record,) = [record for record in caplog.records if record.name == APP_NAME]
    members = vars(record)
    assert (members["type"], members["status"]) == ("ValidationException", 400)
    assert members["aws_request_id"] == "7f2d"
    assert "secret" not in repr(members)


async def test_without_credentials_it_is_denied(
    server: Server, provider: BedrockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)

    assert await asked(provider) == ([], "provider_denied")
    assert server.talks == []


async def test_without_a_region_it_is_rejected(
    server: Server, provider: BedrockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)

    assert await asked(provider) == ([], "provider_rejected")
    assert server.talks == []


async def test_an_address_without_a_server_is_unreachable(
    provider: BedrockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refusing_port() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", f"http://127.0.0.1:{port}")

        assert await asked(provider) == ([], "provider_unreachable")


@pytest.mark.parametrize("end", [Talk.hang_up, Talk.reset])
async def test_a_connection_that_ends_before_the_answer_cannot_be_reached(
    server: Server, provider: BedrockProvider, end: Callable[[Talk], Awaitable[None]]
) -> None:
    server.answer = end

    assert await asked(provider) == ([], "provider_unreachable")


# Within the stream


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (exception("throttlingException"), "provider_throttled"),
        (exception("serviceUnavailableException"), "provider_overloaded"),
        (exception("internalServerException"), "provider_failed"),
        (exception("modelStreamErrorException"), "provider_failed"),
        (exception("validationException"), "provider_rejected"),
        (
            exception("validationException", "Output blocked by content filtering policy"),
            "content_filtered",
        ),
        (exception("validationException", "prompt is too long"), "context_too_long"),
        (exception("somethingNewException"), "provider_failed"),
        (error("InternalFailure"), "provider_failed"),
        (error("SomethingNew"), "provider_failed"),
        (stop("content_filtered"), "content_filtered"),
        (stop("refusal"), "content_filtered"),
        (stop("guardrail_intervened"), "guardrail_intervened"),
        (stop("tool_use"), "tool_use_unsupported"),
        (stop("malformed_tool_use"), "tool_use_unsupported"),
        (stop("malformed_model_output"), "provider_failed"),
    ],
)
@pytest.mark.parametrize("tokens", [(), (text("a"), text("b"))], ids=["at once", "after tokens"])
async def test_a_stream_that_fails_has_a_code(
    server: Server, provider: BedrockProvider, tokens: tuple[bytes, ...], end: bytes, code: Code
) -> None:
    server.answer = saying(START, *tokens, end, usage())

    deltas, failed = await asked(provider)

    assert deltas == [Answer("a"), Answer("b")][: len(tokens)]
    assert failed == code


async def test_an_end_for_an_unknown_reason_and_without_an_answer_is_a_failure(
    server: Server, provider: BedrockProvider
) -> None:
    server.answer = saying(START, stop("something_new"), usage())

    assert await asked(provider) == ([], "provider_rejected")


@pytest.mark.parametrize("end", [exception("throttlingException"), stop("something_new")])
async def test_a_refusal_within_a_stream_may_have_cost(
    server: Server, provider: BedrockProvider, end: bytes
) -> None:
    server.answer = saying(START, end)

    assert not await is_free(provider)


async def test_a_refusal_in_place_of_a_stream_costs_nothing(
    server: Server, provider: BedrockProvider
) -> None:
    async def answer(talk: Talk) -> None:
        await talk.refuse(429, "ThrottlingException")

    server.answer = answer

    assert await is_free(provider)


async def test_only_a_request_that_was_never_sent_is_unreachable_for_nothing(
    server: Server, provider: BedrockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that hangs up without an answer may have asked the model."""

    async def answer(talk: Talk) -> None:
        await talk.hang_up()

    server.answer = answer
    assert not await is_free(provider)

    with refusing_port() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", f"http://127.0.0.1:{port}")
        assert await is_free(BedrockProvider((MODEL,), Deadlines()))


async def test_what_fails_behind_the_end_does_not_undo_the_answer(
    server: Server, provider: BedrockProvider
) -> None:
    for behind in (exception("throttlingException"), b"\0" * 16, event("metadata", {"usage": {}})):
        server.answer = saying(START, text("a"), stop(), behind)

        assert await asked(provider) == ([Answer("a"), Done("stop", None, None)], None)


# Cut

WHOLE = b"".join(ANSWER)
STARTS = [sum(map(len, ANSWER[:index])) for index in range(len(ANSWER) + 1)]
# At the boundary; in the lengths, after their checksum, in a header, in the payload, and in the
# checksum at the end.
PLACES = sorted({start + step for start in STARTS[:-1] for step in (0, 3, 12, 30, 95)})
PLACES += [start - 2 for start in STARTS[1:]]


def said_within(size: int) -> tuple[list[Event], str | None]:
    """The result of so many bytes: the deltas of all complete frames, or a cut."""
    whole = [delta for delta, end in zip(DELTAS, STARTS[1:], strict=True) if end <= size]
    said = [delta for delta in whole if delta and not isinstance(delta, Done)]
    finish = [delta for delta in whole if isinstance(delta, Done)][-1:]
    return [*said, *finish], None if finish else "provider_cut"


@pytest.mark.parametrize("end", [Talk.end, Talk.hang_up, Talk.reset])
async def test_an_answer_cut_anywhere_is_never_taken_for_whole(
    server: Server, provider: BedrockProvider, end: Callable[[Talk], Awaitable[None]]
) -> None:
    """Only `messageStop` is an end: botocore raises nothing for a stream that was cut."""
    for place in PLACES:

        async def answer(talk: Talk, place: int = place) -> None:
            await talk.head()
            await talk.chunks(WHOLE[:place])
            await end(talk)

        server.answer = answer

        assert (await asked(provider), place) == (said_within(place), place)


@pytest.mark.parametrize("size", [1, 5, 20])
async def test_an_answer_cut_inside_a_chunk_is_cut(
    server: Server, provider: BedrockProvider, size: int
) -> None:
    async def answer(talk: Talk) -> None:
        await talk.head()
        await talk.chunks(START, text("a"))
        await talk.send(b"40\r\n"[:size] + text("b")[: max(0, size - 4)])
        await talk.hang_up()

    server.answer = answer

    assert await asked(provider) == ([Answer("a")], "provider_cut")


# Garbled


async def test_no_flipped_bit_gets_through(server: Server, provider: BedrockProvider) -> None:
    """Up to the end of the answer; after it, only the token counts can be lost."""
    end_of_answer = STARTS[-2]
    for place in range(0, len(WHOLE), 7):
        garbled = bytearray(WHOLE)
        garbled[place] ^= 1 << place % 8
        server.answer = saying(bytes(garbled))

        deltas, code = await asked(provider)

        if place >= end_of_answer:
            assert (deltas, code) == said_within(end_of_answer)
        else:
            before = max(start for start in STARTS if start <= place)
            assert (deltas, code) == (said_within(before)[0], "provider_garbled")


_payloads = st.binary(max_size=40) | st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["delta", "text", "reasoningContent", "stopReason", "usage", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
).map(lambda value: json.dumps(value).encode())
_headers = st.lists(
    st.builds(
        header,
        st.sampled_from([":event-type", ":message-type", ":exception-type", ":error-code", "x"]),
        st.sampled_from(
            ["event", "exception", "error", "contentBlockDelta", "messageStop", "metadata", "y"]
        ),
    )
    | st.binary(max_size=12),
    max_size=3,
).map(b"".join)
_rubbish = st.lists(
    st.builds(frame, _headers, _payloads) | st.binary(max_size=30) | st.sampled_from(ANSWER),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(frames=_rubbish)
def test_any_bytes_give_deltas_and_an_end_or_a_code(frames: list[bytes]) -> None:
    async def ask() -> tuple[list[Event], str | None]:
        with pytest.MonkeyPatch.context() as monkeypatch:
            async with serving_at(monkeypatch) as server:
                server.answer = saying(*frames)
                provider = BedrockProvider((MODEL,), Deadlines(idle=2))
                try:
                    return await asked(provider)
                finally:
                    await provider.close()

    deltas, code = asyncio.run(ask())

    finished = bool(deltas) and isinstance(deltas[-1], Done)
    assert finished == (code is None)
    assert all(isinstance(delta, Answer | Thinking) for delta in deltas[:-1])
    assert code is None or code in CODES


# Silent


@pytest.mark.parametrize("sent", [None, (), (START,), (START, text("a")), (START, text("a")[:50])])
async def test_silence_has_an_end(server: Server, sent: tuple[bytes, ...] | None) -> None:
    hung_up = asyncio.Event()

    async def answer(talk: Talk) -> None:
        if sent is not None:
            await talk.head()
            await talk.chunks(*sent)
        await talk.hung_up_within(5)
        hung_up.set()

    server.answer = answer
    provider = BedrockProvider((MODEL,), Deadlines(first=1.5, idle=0.1))

    deltas, code = await asked(provider)

    assert deltas == ([Answer("a")] if sent == (START, text("a")) else [])
    assert code == "provider_timeout"
    async with asyncio.timeout(1):
        await hung_up.wait()
    await provider.close()


async def test_signs_of_life_keep_a_thinking_model_from_being_given_up(server: Server) -> None:
    """Thinking may be hidden: then only signatures come, for a while."""

    async def answer(talk: Talk) -> None:
        await talk.head()
        await talk.chunks(START, text("a"))
        for _ in range(8):
            await asyncio.sleep(0.25)
            await talk.chunks(reasoning(redactedContent="c2VjcmV0"))
        await talk.chunks(text("b"), stop(), usage())
        await talk.end()

    server.answer = answer
    provider = BedrockProvider((MODEL,), Deadlines(first=5, idle=1.5))

    deltas, code = await asked(provider)

    assert deltas == [Answer("a"), Answer("b"), Done("stop", 11, 22)]
    assert code is None
    await provider.close()
