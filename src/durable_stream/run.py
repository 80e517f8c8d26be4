"""Run: one execution of a step's function, and its events."""

from collections.abc import Sequence

from durable_stream.events import Event, Reset
from durable_stream.replay import Difference, Replay


class Run:
    """The events of a step as it runs, behind those of an earlier run that was interrupted."""

    def __init__(self, key: str, before: Sequence[Event]) -> None:
        self.key = key
        self._before = tuple(before)
        self._replay = Replay(before)
        self._repeated: list[Event] = []

    def news(self, event: Event) -> Sequence[Event]:
        """The events to log for the next one that the function emits."""
        if self._replay.finished:
            return [event]
        self._repeated.append(event)
        try:
            news = self._replay.news(event)
        except Difference:
            return self._afresh()
        return [] if news is None else [news]

    def continuing(self) -> tuple[Event, ...]:
        """The events of the earlier run; all others are new from here on."""
        self._replay = Replay(())
        return self._before

    def rest(self) -> Sequence[Event]:
        """The events to log at the end: the run may have emitted fewer than the one before."""
        return () if self._replay.finished else self._afresh()

    def _afresh(self) -> Sequence[Event]:
        self._replay = Replay(())
        return [Reset(within=self.key), *self._repeated]
