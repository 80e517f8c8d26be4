"""Rendering: a record becomes one Server-Sent Event.

A pure function of the record.

Fields are in the order event, data, id: some clients move their cursor as soon as they have
parsed the id (@microsoft/fetch-event-source), and a connection cut behind it would cost them the
data. Keep-alives and retry hints come without an empty line of their own: an empty event makes
official SDKs fail (openai-python decodes its missing data as JSON).
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Self

from fastapi.sse import format_sse_event

from durable_stream import BadCursor, Record, Start

KEEP_ALIVE = b": \n"

STREAM_ID = r"[A-Za-z0-9_-]{32}"

# WHATWG HTML 9.2.3: the header is sent as it is, without a preflight up to 128 such bytes.
_EVENT_ID = re.compile(rf"({STREAM_ID}):(0|[1-9][0-9]{{0,17}})(:end)?")

# As OpenAPI shows it.
EVENT_ID = f"^{_EVENT_ID.pattern}$"


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place of an event: its stream, its position, and a mark for the stream's last event.

    So a reader that comes back is known to have all without a look into the log.
    """

    stream_id: str
    seq: int
    at_end: bool = False

    def __str__(self) -> str:
        """The SSE id: at most 55 bytes of `[A-Za-z0-9_:-]`."""
        return f"{self.stream_id}:{self.seq}{':end' if self.at_end else ''}"

    @classmethod
    def of(cls, record: Record) -> Self:
        """The place of a record."""
        return cls(record.stream_id, record.seq, record.terminal)

    @classmethod
    def parse(cls, text: str, stream_id: str | None = None) -> Self:
        """The place that an id names, in this stream if one is given; raises BadCursor."""
        match = _EVENT_ID.fullmatch(text)
        if match is None:
            raise BadCursor(
                "This cursor is malformed: send the id of the last event you received, unchanged, "
                "or none to start at the beginning."
            )
        if stream_id is not None and match[1] != stream_id:
            raise BadCursor(
                "This cursor belongs to another stream: use the id of an event of this one."
            )
        return cls(match[1], int(match[2]), match[3] is not None)


def frame(record: Record) -> bytes:
    """One SSE event."""
    return format_sse_event(
        event=record.event.kind,
        data_str=json.dumps(_data(record), separators=(",", ":")),
        id=str(Cursor.of(record)),
    )


def retry(milliseconds: int) -> bytes:
    """The time until an EventSource should come back; the next event ends the block it opens."""
    return b"retry: %d\n" % milliseconds


def moved(cursor: Cursor) -> bytes:
    """The block that moves the cursor of an EventSource, and is no event."""
    return b"id: %s\n\n" % str(cursor).encode()


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


def _data(record: Record) -> dict[str, Any]:
    members = record.event.public()
    if isinstance(record.event, Start):
        return {"stream_id": record.stream_id, **members}
    if record.event.within:
        return {**members, "step": record.event.within}
    return members
