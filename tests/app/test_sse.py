"""The form of a record on the wire."""

import json
import re

import httpx
import pytest
from httpx_sse import EventSource

from app.api.frames import Frames
from app.api.sse import EVENT_ID, KEEP_ALIVE, Cursor, frame, retry
from app.events import Answer, Done, Start, Thinking
from app.settings import EventSourceSettings
from durable_stream import BadCursor, Cancelled, Claim, Event, Failed, Handoff, Heartbeat, Record

STREAM = "Stream_id-0123456789abcdefghijkl"
TEXT = "two\nlines\r\n\r, naïve 日本語 🚀 \u2028 \0 data: x\n\nid: 7"


def record(payload: Event, seq: int = 7) -> Record:
    return Record(STREAM, seq, payload, writer="w", nonce="n", at=0, expires_at=0)


def parse(raw: bytes) -> list[tuple[str, object, str]]:
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=raw)
    return [(e.event, json.loads(e.data), e.id) for e in EventSource(response).iter_sse()]


@pytest.mark.parametrize(
    ("payload", "name", "data"),
    [
        (
            Start("secret request", "owner", "demo", "chat"),
            "start",
            {"stream_id": STREAM, "model": "demo", "agent": "chat"},
        ),
        (Claim(2, "asked"), "claim", {"attempt": 2, "continued": "asked"}),
        (Thinking(TEXT), "thinking", {"text": TEXT}),
        (Answer(TEXT), "answer", {"text": TEXT}),
        (Heartbeat(), "heartbeat", {}),
        (Handoff(), "handoff", {}),
        (
            Done("stop", 3, 4),
            "done",
            {"finish_reason": "stop", "usage": {"input_tokens": 3, "output_tokens": 4}},
        ),
        (
            Failed("overloaded", "Try again.", retryable=True),
            "error",
            {"code": "overloaded", "message": "Try again.", "retryable": True},
        ),
        (Cancelled(), "cancelled", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_record_is_exactly_one_event(payload: Event, name: str, data: object) -> None:
    end = ":end" if payload.terminal else ""
    assert parse(frame(record(payload))) == [(name, data, f"{STREAM}:7{end}")]


def test_a_start_does_not_show_the_request() -> None:
    assert b"secret" not in frame(record(Start("secret request", "secret owner", "demo")))


def test_data_comes_before_the_id() -> None:
    """@microsoft/fetch-event-source moves its cursor when it has parsed the id line."""
    assert frame(record(Answer("hi"))) == (
        b'event: answer\ndata: {"text":"hi"}\nid: Stream_id-0123456789abcdefghijkl:7\n\n'
    )


def test_a_cut_anywhere_in_a_frame_never_moves_the_cursor_without_the_data() -> None:
    whole = frame(record(Answer("hi"), seq=0)) + frame(record(Answer("there"), seq=1))

    for end in range(len(whole)):
        cut = whole[:end]
        moved = [line for line in cut.split(b"\n") if line == f"id: {STREAM}:1".encode()]
        assert not moved or b'{"text":"there"}\n' in cut


def test_a_keep_alive_is_a_comment_without_an_empty_line() -> None:
    """With one, openai-python dispatches an empty event, and fails to decode it."""
    assert KEEP_ALIVE == b": \n"
    events = frame(record(Answer("a"), 0)) + KEEP_ALIVE * 3 + frame(record(Answer("b"), 1))
    assert [data for _, data, _ in parse(events)] == [{"text": "a"}, {"text": "b"}]


def test_a_retry_hint_makes_no_event_of_its_own() -> None:
    assert len(parse(retry(500) + frame(record(Answer("a"))))) == 1


def test_a_response_that_ends_with_a_handoff_asks_to_come_back_at_once() -> None:
    """The stream has no writer until then. Any other reader would come back too often."""
    settings = EventSourceSettings(retry_ms=500, handoff_retry_ms=20)
    frames = Frames(settings, buffered=False)

    frames.records([record(Answer("a"), 7), record(Handoff(), 8)])
    assert frames.records([]) == b""
    assert frames.unfinished() == b"retry: 20\n"

    frames.records([record(Claim(2, "asked"), 9)])
    assert frames.unfinished() == b""


def test_ids_stay_within_what_needs_no_preflight() -> None:
    """128 bytes of CORS-safe characters (WPT eventsource-cross-origin-preflight)."""
    longest = str(Cursor(STREAM, 10**18 - 1, at_end=True))
    assert Cursor.parse(longest) == Cursor(STREAM, 10**18 - 1, at_end=True)
    assert len(longest) < 128
    assert set(longest) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-")


def test_a_cursor_names_a_position() -> None:
    for cursor in (Cursor(STREAM, 12), Cursor(STREAM, 0), Cursor(STREAM, 7, at_end=True)):
        assert Cursor.parse(str(cursor), STREAM) == Cursor.parse(str(cursor)) == cursor
        assert re.search(EVENT_ID, str(cursor))
    assert str(Cursor(STREAM, 7, at_end=True)) == f"{STREAM}:7:end"


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "12",
        STREAM,
        f"{STREAM}:",
        f"{STREAM}:-1",
        f"{STREAM}:+1",
        f"{STREAM}:01",
        f"{STREAM}:1.5",
        f"{STREAM}:1\n",
        f"{STREAM}:1:",
        f"{STREAM}:1:END",
        f"{STREAM}:1:end:end",
        f"{STREAM}:end",
        f"{STREAM}:¹",
        f"{STREAM}:{10**30}",
        f" {STREAM}:1",
        f"x{STREAM}:1",
    ],
)
def test_a_malformed_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursor):
        Cursor.parse(cursor, STREAM)


def test_a_cursor_of_another_stream_is_refused() -> None:
    with pytest.raises(BadCursor, match="another stream"):
        Cursor.parse(f"{STREAM}:1", "x" * 32)
