"""Parts: those of app.folding, numbered, and those that a reset has dropped.

No number comes twice, so that a client never takes a part for another.
"""

from dataclasses import dataclass, field, replace

from app import folding
from app.events import ToolResult
from durable_stream import Event, Text


@dataclass(eq=False)
class Part(folding.Part):
    """A part, by the number that it got when it came.

    `late` says that another part came between the call and its result.
    """

    number: int = 0
    result_number: int = 0
    late: bool = False

    @property
    def events(self) -> list[Event]:
        """The event, or one event for each piece of a text."""
        return [self._of(piece) for piece in self.pieces] or [self.event]

    @property
    def newest(self) -> Event:
        """The last of them."""
        return self._of(self.pieces[-1]) if self.pieces else self.event

    def _of(self, piece: str) -> Event:
        assert isinstance(self.event, Text)
        return replace(self.event, text=piece)


@dataclass
class Parts:
    """The parts that count, in order, and those that a reset has dropped."""

    now: folding.Parts[Part] = field(default_factory=lambda: folding.Parts(Part))
    dropped: list[Part] = field(default_factory=list)
    _numbered: int = 0

    def add(self, event: Event) -> Part | None:
        """The part that the event begins or changes; None for an event that makes no part."""
        part = self.now.add(event)
        if part is None:
            return None
        if not part.number:
            part.number = self._number()
        elif isinstance(event, ToolResult):
            part.result_number = self._number()
            part.late = part is not self.now.last
        return part

    def start_over(self, key: str) -> None:
        """Drop all parts and results, or those of the step of this key."""
        dropped = self.now.start_over(key)
        self.dropped += dropped.parts
        for part in dropped.results:
            part.late = False

    def _number(self) -> int:
        self._numbered += 1
        return self._numbered
