"""Tasks and producers: the work behind a stream."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from durable_stream.events import ENGINE, Event, Start


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One attempt at a stream, as its producer is handed it.

    `said` holds the application's events that earlier attempts have delivered, in order. `idle` is
    how many claims, this attempt's among them, the log has behind its last progress. `hint` is
    the `ProducerFailed.hint` of this writer's last attempt, if that failed.
    """

    stream_id: str
    attempt: int
    start: Start
    said: Sequence[Event] = ()
    idle: int = 0
    hint: object = None


class Producer(Protocol):
    """Makes the events of streams. One object serves a whole process."""

    def continued(self, task: Task) -> str:
        """How this attempt continues behind `task.said`; readers find it in the `claim`."""
        ...

    def events(self, task: Task) -> AsyncGenerator[Event]:
        """Yield the events that follow `task.said`, a terminal one last.

        The work begins when the first event is asked for, and ends when the generator is closed.
        Raises ProducerFailed.
        """
        ...


def spoken(events: Sequence[Event]) -> tuple[Event, ...]:
    """The events of an application among these, without its last word."""
    return tuple(e for e in events if not (isinstance(e, ENGINE) or e.terminal))
