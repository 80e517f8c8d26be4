"""Route: the way of a replayed producer outside of its steps, which must not leave the log's."""

from collections.abc import Sequence

from durable_stream.events import Event
from durable_stream.exceptions import StepRefused
from durable_stream.recorded import RecordedSteps
from durable_stream.replay import Difference, Replay
from durable_stream.step_keys import is_in_step, is_keyed, parent


class Route:
    """The events and the outermost steps that the log has, one list for each branch.

    Steps with a key of the caller's may come at any time, because tasks that run at once may use
    them. All methods raise StepRefused where the producer leaves its route.
    """

    def __init__(self, said: Sequence[Event], recorded: RecordedSteps) -> None:
        outside: dict[str, list[Event]] = {}
        for event in said:
            if not is_in_step(event.within):
                outside.setdefault(event.within, []).append(event)
        self._replays = {path: Replay(events) for path, events in outside.items()}
        self._ahead: dict[str, dict[str, str]] = {}
        self._at_any_time: dict[str, str] = {}
        for key, begun in recorded.begun.items():
            if is_in_step(parent(key)):
                continue
            if is_keyed(key):
                self._at_any_time[key] = begun.name
            else:
                self._ahead.setdefault(parent(key), {})[key] = begun.name
        self._last = ""

    def news(self, event: Event) -> Sequence[Event]:
        """The part of an event that the log has not."""
        replay = self._replays.get(event.within)
        try:
            news = event if replay is None else replay.news(event)
        except Difference:
            raise diverged(f"{self._place()} it yielded another event") from None
        if news is None:
            return []
        self._check_nothing_ahead(event.within, "it yielded an event")
        return [news]

    def visit(self, path: str, key: str, name: str) -> None:
        """Pass a step."""
        if is_in_step(path):
            return
        if is_keyed(key):
            self._at_any_time.pop(key, None)
            return
        if self._ahead.get(path, {}).pop(key, None) is None:
            self._check_nothing_ahead(path, f"it came to the step {name!r}")
            replay = self._replays.get(path)
            if replay is not None and not replay.finished:
                raise diverged(f"it came to the step {name!r} before an event that was logged")
        self._last = name

    def finish(self) -> None:
        """Pass the end."""
        for path in self._ahead:
            self._check_nothing_ahead(path, "it ended")
        for name in self._at_any_time.values():
            raise diverged(f"it ended before the step {name!r}")
        if not all(replay.finished for replay in self._replays.values()):
            raise diverged(f"{self._place()} it ended before an event that was logged")

    def _check_nothing_ahead(self, path: str, event: str) -> None:
        ahead = self._ahead.get(path)
        if ahead:
            name = next(iter(ahead.values()))
            raise diverged(f"{event} before the step {name!r}")

    def _place(self) -> str:
        return f"after the step {self._last!r}" if self._last else "before its first step"


def diverged(detail: str) -> StepRefused:
    """The error of a run that differs from the log."""
    return StepRefused(
        "diverged",
        f"The agent did not repeat what it did before its interruption: {detail}. Its developer "
        "can read in docs/agents.md how to move values that vary into steps.",
    )
