"""Rendering: a record becomes one Server-Sent Event.

A pure function of the record.

Fields are in the order event, data, id: some clients move their cursor as soon as they have
parsed the id (@microsoft/fetch-event-source), and a connection cut behind it would cost them the
data. Keep-alives and retry hints come without an empty line of their own: an empty event makes
official SDKs fail (openai-python decodes its missing data as JSON).
"""

import json
import re
from typing import Any

from fastapi.sse import format_sse_event

from durable_stream import BadCursor, Record, Start

KEEP_ALIVE = b": \n"

STREAM_ID = r"[A-Za-z0-9_-]{32}"

# WHATWG HTML 9.2.3: the header is sent as it is, without a preflight up to 128 such bytes.
_EVENT_ID = re.compile(rf"({STREAM_ID}):(0|[1-9][0-9]{{0,17}})")

# As OpenAPI shows it.
EVENT_ID = f"^{_EVENT_ID.pattern}$"


def frame(record: Record) -> bytes:
    """One SSE event."""
    return format_sse_event(
        event=record.event.kind,
        data_str=json.dumps(_data(record), separators=(",", ":")),
        id=event_id(record.stream_id, record.seq),
    )


def retry(milliseconds: int) -> bytes:
    """The time until an EventSource should come back; the next event ends the block it opens."""
    return b"retry: %d\n" % milliseconds


def refusal(code: str, message: str, *, retryable: bool) -> bytes:
    """The event that tells why there is no stream. It has no id: nothing can be resumed."""
    data = {"code": code, "message": message, "retryable": retryable}
    return format_sse_event(event="error", data_str=json.dumps(data, separators=(",", ":")))


def padded(chunk: bytes, size: int) -> bytes:
    """The chunk behind a comment that brings it to a size in bytes, if it is smaller."""
    missing = size - len(chunk)
    return b":%s\n%s" % (b" " * (missing - 2), chunk) if missing > 0 else chunk


def is_stream_id(text: str) -> bool:
    """True for the id of a stream; there is more in the table than streams."""
    return re.fullmatch(STREAM_ID, text) is not None


def event_id(stream_id: str, seq: int) -> str:
    """The place of an event: at most 51 bytes of `[A-Za-z0-9_:-]`."""
    return f"{stream_id}:{seq}"


def position(cursor: str, stream_id: str) -> int:
    """The position that an event id names in this stream; raises BadCursor."""
    named, seq = split_event_id(cursor)
    if named != stream_id:
        raise BadCursor(
            "This cursor belongs to another stream: use the id of an event of this one."
        )
    return seq


def split_event_id(cursor: str) -> tuple[str, int]:
    """An event id's stream and position; raises BadCursor."""
    match = _EVENT_ID.fullmatch(cursor)
    if match is None:
        raise BadCursor(
            "This cursor is malformed: send the id of the last event you received, unchanged, "
            "or none to start at the beginning."
        )
    return match[1], int(match[2])


def _data(record: Record) -> dict[str, Any]:
    members = record.event.public()
    if isinstance(record.event, Start):
        return {"stream_id": record.stream_id, **members}
    if record.event.within:
        return {**members, "step": record.event.within}
    return members
