"""Rendering: from the records of a stream to the events of a wire."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from app.events import Start
from durable_stream import Record

Json = dict[str, Any]

T = TypeVar("T")


class Rendering(Protocol):
    """The events of one stream on a wire, as JSON objects."""

    def render(self, record: Record) -> Sequence[Json]:
        """The events for the next record. Every record from position 0 on is handed in once."""
        ...


def of_start(versions: Mapping[int, Callable[[], T]], start: Record) -> T:
    """The rendering of a stream that begins with this record.

    The start names the version of the rendering. So a deployment that changes a rendering leaves
    the numbers of streams alone that are being read. An unknown version is rendered by the newest.
    """
    assert isinstance(start.event, Start)
    make = versions.get(start.event.rendering) or versions[max(versions)]
    return make()
