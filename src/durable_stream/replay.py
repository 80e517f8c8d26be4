"""Replay: an earlier run's events, compared with those of the next run."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from durable_stream.events import Event, Text, encode, other_members


class Difference(Exception):
    """Raised where a run differs from the log."""


class Replay:
    """The events that the log has, and that the next run is to repeat.

    Text is compared by its concatenation, because the log merges and splits it.
    """

    def __init__(self, expected: Sequence[Event]) -> None:
        self._expected = deque(expected)

    @property
    def finished(self) -> bool:
        """True if everything has been repeated."""
        return not self._expected

    def news(self, event: Event) -> Event | None:
        """The part of the next event that the log has not; raises Difference."""
        if not self._expected or not event.weight:
            return event
        if isinstance(event, Text):
            return self._news_of(event)
        if type(event) is not type(self._expected[0]) or encode(event) != encode(self._expected[0]):
            raise Difference
        self._expected.popleft()
        return None

    def _news_of(self, event: Text) -> Text | None:
        text = event.text
        while text and self._expected:
            head = self._expected[0]
            if not isinstance(head, Text) or not _alike(head, event):
                raise Difference
            length = min(len(head.text), len(text))
            if head.text[:length] != text[:length]:
                raise Difference
            text = text[length:]
            if length == len(head.text):
                self._expected.popleft()
            else:
                self._expected[0] = replace(head, text=head.text[length:])
        return replace(event, text=text) if text else None


def _alike(one: Text, other: Text) -> bool:
    return type(one) is type(other) and other_members(one) == other_members(other)
