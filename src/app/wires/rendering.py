"""Rendering: from the records of a stream to the events of a wire."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from app.events import Start
from durable_stream import History, Record

Json = dict[str, Any]

T = TypeVar("T")


class Rendering(Protocol):
    """The events of one stream on a wire, as JSON objects."""

    def render(self, record: Record) -> Sequence[Json]:
        """The events for the next record. Every record from position 0 on is handed in once."""
        ...


def of_start(versions: Mapping[int, Callable[[], T]], start: Record) -> T:
    """The rendering of a stream that begins with this record.

    The start names the version of all renderings at its time. A wire has entries for the versions
    that changed it, so the newest of these that is not newer is the stream's. So a deployment that
    changes a rendering leaves the numbers of streams alone that are being read.
    """
    assert isinstance(start.event, Start)
    version = start.event.rendering
    return versions[max(each for each in versions if each <= version)]()


def records_of(history: History) -> Sequence[Record]:
    """The start of a stream, its events as a producer needs them, and its end, as records.

    What is missing of the log has no number on any wire, and changes no event.
    """
    newest = history.newest
    start = replace(newest, seq=0, event=history.start, at=history.created_at)
    events = [*history.log, *([newest.event] if newest.terminal else [])]
    return [start, *(replace(newest, seq=seq, event=event) for seq, event in enumerate(events, 1))]
