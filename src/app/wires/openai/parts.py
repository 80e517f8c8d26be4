"""Parts: those of app.folding, with the places where a rendering has shown them."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from app import folding
from app.events import Answer, Thinking
from durable_stream.text import mended

Place = TypeVar("Place")


@dataclass(eq=False)
class Part(folding.Part, Generic[Place]):
    """A part, and the rendering's own `places` for it."""

    places: list[Place] = field(default_factory=list)

    @property
    def is_text(self) -> bool:
        """True for a text that these protocols have a form for."""
        return self.event.kind in (Answer.kind, Thinking.kind)


@dataclass(slots=True)
class Halves:
    """Joins halves of surrogate pairs across pieces of text, for clients that do not."""

    _half: str = ""

    def joined(self, piece: str) -> str:
        """The text to send for another piece: a first half waits for the piece behind it."""
        text = self._half + piece
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        text = text[: len(text) - len(self._half)]
        return text if text.isascii() else mended(text)

    def rest(self) -> str:
        """The text to send when no piece follows: U+FFFD for a half that has waited in vain."""
        half, self._half = self._half, ""
        return mended(half)
