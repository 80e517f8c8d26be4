"""The chunks of the AI SDK's wire: their sum, and their order."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events import Answer, Data, Done, Progress, Source, Thinking, ToolCall, ToolResult
from app.folding import fold
from app.wires.ai_sdk.rendering import VERSIONS, AiSdkRendering
from app.wires.rendering import of_start
from app.wires.values import plain
from durable_stream import (
    Cancelled,
    Claim,
    Event,
    Failed,
    Handoff,
    Heartbeat,
    Record,
    Reset,
    StepBegun,
    StepEnded,
)
from tests.app.test_folding import CASES, logged
from tests.wires import logs
from tests.wires.ai_sdk.message import Chunk, Message, as_json, expected
from tests.wires.logs import STREAM_ID, Aside, Note


def rendered(records: Sequence[Record]) -> list[Chunk]:
    rendering = of_start(VERSIONS, records[0])
    return [chunk for record in records for chunk in rendering.render(record)]


def of(*events: Event) -> list[Chunk]:
    return rendered(logs.of_events(*events))


@given(logs.logs(complete=True))
def test_a_message_ends_with_the_parts_of_the_log(records: Sequence[Record]) -> None:
    message = Message(rendered(records))
    assert message.finished
    assert as_json(message.said) == as_json(expected(fold(logs.events(records))))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["rule"])
def test_a_message_follows_the_rules_of_folding(case: dict[str, Any]) -> None:
    events = [logged(*event) for event in case["events"] if event[0] != "start"]
    if not (events and events[-1].terminal):
        events.append(Done("stop"))
    assert Message(of(*events)).said == expected(case["parts"])


@given(logs.logs(), st.data())
def test_a_prefix_and_the_rest_from_any_cursor_are_the_whole(
    records: Sequence[Record], data: st.DataObject
) -> None:
    whole = rendered(records)
    until = data.draw(st.integers(1, len(records)))
    seen = rendered(records[:until])
    assert whole[: len(seen)] == seen
    cursor = data.draw(st.integers(0, len(seen)))
    assert [*seen[:cursor], *rendered(records)[cursor:]] == whole


@given(logs.logs(complete=False))
def test_a_stream_under_way_has_no_finish(records: Sequence[Record]) -> None:
    assert not Message(rendered(records)).finished


@given(logs.logs())
def test_an_attempt_and_a_sign_of_life_say_nothing(records: Sequence[Record]) -> None:
    silent = (Claim, Handoff, Heartbeat, StepBegun, StepEnded)
    rendering = AiSdkRendering()
    for record in records:
        chunks = rendering.render(record)
        assert not (isinstance(record.event, silent) and chunks)


@given(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=60))
def test_text_of_an_own_kind_costs_no_more_than_its_length_some_times(pieces: list[str]) -> None:
    chunks = [chunk for chunk in of(*map(Aside, pieces), Done("stop")) if "data" in chunk]
    assert chunks[-1]["data"] == {"text": "".join(pieces)}
    longest = max(map(len, pieces))
    sent = sum(len(chunk["data"]["text"]) for chunk in chunks)
    assert sent <= 10 * (len("".join(pieces)) + longest)


def test_a_message_has_the_id_of_its_stream() -> None:
    assert of()[0] == {
        "type": "start",
        "messageId": STREAM_ID,
        "messageMetadata": {"streamId": STREAM_ID, "agent": "chat", "model": "some-model"},
    }


def test_text_and_reasoning_are_begun_and_ended() -> None:
    assert of(Thinking("t"), Answer("a"), Answer("b"), Done("stop", 1, None))[1:] == [
        {"type": "start-step"},
        {"type": "reasoning-start", "id": "0"},
        {"type": "reasoning-delta", "id": "0", "delta": "t"},
        {"type": "reasoning-end", "id": "0"},
        {"type": "text-start", "id": "1"},
        {"type": "text-delta", "id": "1", "delta": "a"},
        {"type": "text-delta", "id": "1", "delta": "b"},
        {"type": "text-end", "id": "1"},
        {"type": "finish-step"},
        {
            "type": "finish",
            "finishReason": "stop",
            "messageMetadata": {
                "status": "done",
                "usage": {"inputTokens": 1, "outputTokens": None},
            },
        },
    ]


@pytest.mark.parametrize(
    ("end", "last"),
    [
        (
            Cancelled(),
            [
                {"type": "abort"},
                {
                    "type": "finish",
                    "finishReason": "other",
                    "messageMetadata": {"status": "cancelled"},
                },
            ],
        ),
        (
            Failed("code", "Try again.", retryable=True),
            [
                {"type": "message-metadata", "messageMetadata": {"status": "error"}},
                {"type": "error", "errorText": "Try again."},
                {"type": "finish", "finishReason": "error"},
            ],
        ),
    ],
)
def test_every_end_is_a_finish(end: Event, last: list[Chunk]) -> None:
    assert of(Answer("a"), end)[-len(last) :] == last


@pytest.mark.parametrize(
    ("reason", "told"), [("stop", "stop"), ("length", "length"), ("own", "other")]
)
def test_an_unknown_reason_to_finish_is_other(reason: str, told: str) -> None:
    assert Message(of(Done(reason))).finish_reason == told


def test_a_tool_is_called_dynamically_and_by_the_server() -> None:
    called = {"toolCallId": "1", "dynamic": True, "providerExecuted": True}
    assert of(ToolCall("1", "add", {"a": 1}), ToolResult("1", None))[2:] == [
        {"type": "tool-input-available", "toolName": "add", "input": {"a": 1}, **called},
        {"type": "tool-output-available", "output": None, **called},
    ]
    assert of(ToolCall("1", "add", {}), ToolResult("1", error=""))[-1] == {
        "type": "tool-output-error",
        "errorText": "",
        **called,
    }


def test_data_of_another_name_takes_the_place_of_data_of_its_id() -> None:
    chunks = of(Data("price", 1, "a"), Answer("b"), Data("cost", 2, "a"), Answer("c"), Done("stop"))
    assert Message(chunks).said == [
        {"type": "data-cost", "id": "a", "data": 2},
        {"type": "text", "id": "1", "text": "bc", "state": "done"},
    ]


def test_data_that_is_called_progress_is_no_progress() -> None:
    chunks = of(Progress("a", 1), Data("progress", "x", "a"), Progress("a", 2), Done("stop"))
    assert Message(chunks).said == [
        {"type": "data-progress", "id": "a", "data": {"label": "a", "done": 2, "total": None}},
        {"type": "data-progress", "id": "a:2", "data": "x"},
    ]


def test_calls_of_one_id_stay_apart() -> None:
    call = ToolCall("1", "add", {})
    chunks = of(call, call, ToolResult("1", "first"), ToolResult("1", "second"), Done("stop"))
    told = [(part["toolCallId"], part["output"]) for part in Message(chunks).said]
    assert told == [("1", "first"), ("1:2", "second")]


def test_a_result_without_a_call_and_an_own_kind_are_data() -> None:
    assert Message(of(ToolResult("9", 1), Note("n", within="s"), Done("stop"))).said == [
        {"type": "data-tool_result", "data": {"id": "9", "output": 1, "error": None}},
        {"type": "data-note", "data": {"title": "n", "value": None, "step": "s"}},
    ]


def test_an_answer_that_starts_over_is_taken_away() -> None:
    source = Source("T", "https://example.com")
    chunks = of(Thinking("a"), Reset(), source, Answer("b", within="s"), Reset(within="s"))
    assert [chunk["type"] for chunk in chunks[2:]] == [
        *("reasoning-start", "reasoning-delta", "reset-step", "source-url"),
        *("text-start", "text-delta", "reset-step", "source-url"),
    ]


def test_a_reset_that_takes_nothing_away_says_nothing() -> None:
    assert of(Answer("a"), Reset(within="s"), Reset(within="t")) == of(Answer("a"))


@pytest.mark.parametrize(
    "trap",
    [
        {"__proto__": 1},
        [{"a": {"constructor": {"prototype": 1}}}],
        float("nan"),
        {"a": [float("-inf")]},
    ],
)
def test_a_value_that_the_client_would_refuse_becomes_text(trap: Any) -> None:
    assert plain(trap) == json.dumps(trap, separators=(",", ":"))


@pytest.mark.parametrize("value", [None, 1.5, "__proto__", {"constructor": "prototype"}, [[{}]]])
def test_any_other_value_stays(value: Any) -> None:
    assert plain(value) == value
