"""Decodes Server-Sent Events, with their sizes and arrival times."""

from collections.abc import Iterator
from dataclasses import dataclass

from probe.connection import Piece

ENDS = frozenset({"done", "error", "cancelled"})

_BLANK_LINE = b"\n\n"


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the application; its id is `<stream>:<position>`, and `:end` in the last."""

    id: str
    name: str
    data: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event and the time at which it was complete; `size` includes comments before it."""

    event: Event
    size: int
    at: float

    @property
    def seq(self) -> int:
        """The event's position in its stream."""
        return position(self.event.id)


class Decoder:
    """Splits pieces of a body into events."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: Piece) -> Iterator[Arrival]:
        """Yield the events that this piece completes."""
        *blocks, self._rest = (self._rest + piece.data).split(_BLANK_LINE)
        for block in blocks:
            fields = dict(
                line.split(": ", 1) for line in block.decode().splitlines() if ": " in line
            )
            if "id" in fields:
                event = Event(fields["id"], fields.get("event", "message"), fields.get("data", ""))
                yield Arrival(event, len(block) + len(_BLANK_LINE), piece.at)


def position(event_id: str) -> int:
    """Return the position in its stream of an event with this id."""
    return int(event_id.split(":")[1])
