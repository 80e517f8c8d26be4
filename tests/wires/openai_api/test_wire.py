"""The bytes of streamed answers."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.events import Answer, Done
from app.wires.openai.echo import Echo
from app.wires.openai.wire import CompletionWire, ResponseWire
from durable_stream import Cancelled, Failed, Heartbeat, Record, Reset, StoreUnavailable
from tests.event_stream import Decoder
from tests.wires.logs import STREAM_ID, batches, logs, of_events

ID = f"resp_{STREAM_ID}"


def data(sent: bytes) -> list[Any]:
    return [
        json.loads(message.data) for message in Decoder().feed(sent) if message.data != "[DONE]"
    ]


def text(sent: bytes) -> str:
    return "".join(
        choice["delta"].get("content", "")
        for chunk in data(sent)
        for choice in chunk.get("choices", ())
    )


@given(st.data(), logs())
def test_the_bytes_behind_any_cursor_are_the_end_of_all_of_them(
    drawn: st.DataObject, log: list[Record]
) -> None:
    whole = ResponseWire(STREAM_ID).records(log)
    events = data(whole)
    after = drawn.draw(st.integers(-1, len(events)))
    wire = ResponseWire(STREAM_ID, after)
    rest = b"".join(map(wire.records, drawn.draw(batches(log))))
    assert data(rest) == events[after + 1 :]
    assert whole.endswith(rest)


@given(logs())
def test_frames_are_ascii_and_have_no_ids(log: list[Record]) -> None:
    sent = ResponseWire(STREAM_ID).records(log)
    assert sent.isascii()
    assert b"\r" not in sent
    assert not any(line.startswith(b"id:") for line in sent.split(b"\n"))
    for frame in sent.split(b"\n\n")[:-1]:
        event, json_ = frame.split(b"\n")
        assert event == b"event: " + json.loads(json_.removeprefix(b"data: "))["type"].encode()


def test_silent_records_send_nothing() -> None:
    wire = ResponseWire(STREAM_ID)
    log = of_events(Heartbeat())
    assert wire.records(log[:1])
    assert wire.records(log[1:]) == wire.records([]) == b"", "a keep-alive is sent instead"


def test_an_answer_that_continues_ends_with_an_error_that_says_how() -> None:
    wire = ResponseWire(STREAM_ID)
    numbers = [event["sequence_number"] for event in data(wire.records(of_events(Answer("a"))))]
    (told,) = data(wire.unfinished())
    assert told["error"]["code"] == "interrupted"
    how = f"responses.retrieve('{ID}', stream=True, starting_after={numbers[-1]})"
    assert how in told["error"]["message"]
    (told,) = data(ResponseWire(STREAM_ID, 7).failed(StoreUnavailable("")))
    assert told["error"]["code"] == StoreUnavailable.code
    assert "starting_after=7)" in told["error"]["message"]


def test_the_creator_gets_its_members_back() -> None:
    wire = ResponseWire(STREAM_ID, echo=Echo(background=True, metadata={"a": "b"}))
    for event in data(wire.records(of_events(Done("stop")))):
        assert event["response"]["background"] is True
        assert event["response"]["metadata"] == {"a": "b"}


def test_of_a_log_that_was_there_only_the_sum_is_sent() -> None:
    log = of_events(Answer("Wrong"), Reset(), Answer("Right"), Answer("."), Done("stop"))
    wire = CompletionWire(caught_up_at=3)
    assert wire.records(log[:2]) == b""
    assert text(wire.records(log[2:4])) == "Right"
    last = wire.records(log[4:])
    assert text(last) == "."
    assert last.endswith(b"data: [DONE]\n\n")
    assert wire.unfinished() == b""


def test_an_answer_that_starts_over_ends_the_completion_once() -> None:
    log = of_events(Answer("Wrong"), Reset(), Answer("Right"), Done("stop"))
    wire = CompletionWire()
    wire.records(log[:2])
    (told,) = data(wire.records(log[2:3]))
    assert told["error"]["code"] == "started_over"
    assert wire.records(log[3:]) == wire.unfinished() == b""
    assert wire.failed(StoreUnavailable("")) == b""


def test_an_end_that_is_no_answer_is_an_error_and_not_done() -> None:
    for end, code in (
        (Failed("broken", "It broke.", retryable=True), "broken"),
        (Cancelled(), "cancelled"),
    ):
        sent = CompletionWire().records(of_events(Answer("a"), end))
        assert data(sent)[-1]["error"]["code"] == code
        assert b"[DONE]" not in sent


def test_a_completion_that_continues_ends_with_an_error_that_says_how() -> None:
    (told,) = data(CompletionWire().unfinished())
    assert told["error"]["code"] == "interrupted"
    assert "Idempotency-Key" in told["error"]["message"]
