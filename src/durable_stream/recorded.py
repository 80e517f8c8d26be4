"""Recorded: the steps in a log, as the next attempt finds them."""

from collections.abc import Iterator, Sequence

from durable_stream.events import Event, Reset, StepBegun, StepEnded
from durable_stream.step_keys import is_in_step, lineage


class RecordedSteps:
    """The steps that earlier attempts have begun and ended, by key, and their events."""

    def __init__(self, log: Sequence[Event]) -> None:
        self.begun: dict[str, StepBegun] = {}
        self.ended: dict[str, StepEnded] = {}
        # The events within steps as readers have them now, and as they had them at a step's end.
        self._shown: list[Event] = []
        # The latter as a list that only grows, and its length then.
        self._shown_at_end: dict[str, tuple[list[Event], int]] = {}
        for event in log:
            self._add(event)

    def events(self, key: str) -> Sequence[Event]:
        """The events of a step that has not ended, as readers have them."""
        return [event for event in self._shown if event.within == key]

    def events_at_end(self, key: str) -> Sequence[Event]:
        """The events of a step that has ended, and of the steps within it."""
        shown, length = self._shown_at_end[key]
        return [event for event in shown[:length] if key in lineage(event.within)]

    def like(self, stem: str) -> Iterator[str]:
        """The recorded keys with this stem, whatever their number."""
        return (k for k in self.begun if k.startswith(stem) and k[len(stem) :].isdecimal())

    def _add(self, event: Event) -> None:
        key = event.within
        match event:
            case Reset():
                self._shown = [e for e in self._shown if key and e.within != key]
            case StepBegun():
                self.begun[key] = event
                self.ended.pop(key, None)
            case StepEnded():
                self.ended[key] = event
                self._shown_at_end[key] = self._shown, len(self._shown)
            case _:
                if is_in_step(key):
                    self._shown.append(event)
