"""Recorded: the steps in a log, as the next attempt finds them."""

from collections.abc import Sequence

from durable_stream.events import Event, Reset, StepBegun, StepEnded
from durable_stream.step_keys import is_step, lineage


class RecordedSteps:
    """The steps that earlier attempts have begun and ended, by key, and their events."""

    def __init__(self, log: Sequence[Event]) -> None:
        self.begun: dict[str, StepBegun] = {}
        self.ended: dict[str, StepEnded] = {}
        self._events: list[Event] = []
        for event in log:
            self._add(event)

    def events(self, key: str, *, nested: bool = False) -> list[Event]:
        """The events of a step that count; with `nested`, those of the steps within it too."""
        return [e for e in self._events if e.within == key or (nested and key in lineage(e.within))]

    def _add(self, event: Event) -> None:
        key = event.within
        match event:
            case Reset():
                self._drop(key)
            case StepBegun():
                # A step that begins again with other arguments is another step.
                self.ended.pop(key, None)
                self._drop(key)
                self.begun[key] = event
            case StepEnded():
                self.ended[key] = event
            case _:
                if is_step(key) and not self._is_kept(event):
                    self._events.append(event)

    def _drop(self, key: str) -> None:
        """Let the events of a step not count any more; "" is all steps that have not ended."""
        self._events = [e for e in self._events if self._is_kept(e) or (key and e.within != key)]

    def _is_kept(self, event: Event) -> bool:
        """True for an event of a step that has ended: a later attempt can only repeat it."""
        return any(key in self.ended for key in lineage(event.within))
