"""Tasks and producers: the work behind a stream."""

import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from durable_stream.events import (
    ENGINE,
    Event,
    Reset,
    Start,
    StepBegun,
    StepEnded,
)
from durable_stream.steps import Steps

# How a producer resumes a stream whose writer was interrupted.
#
# restart    it starts over, and a `reset` tells so; finished steps are not repeated
# continue   it yields the events that follow `Task.said`
# replay     it starts over, and may yield nothing else than the log has; that is swallowed
# never      it is not run again, and the stream ends
Resume = Literal["restart", "continue", "replay", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One attempt at a stream, as its producer is handed it.

    `log` holds the events of earlier attempts, without the records that only the engine needs.
    `idle` is how many claims, this attempt's among them, the log has behind its last progress.
    `hint` is the `ProducerFailed.hint` of this writer's last attempt, if that failed. `deadline`,
    a time of the event loop's clock, is when the writer is to hand over.
    """

    stream_id: str
    attempt: int
    start: Start
    log: Sequence[Event] = ()
    idle: int = 0
    hint: object = None
    deadline: float = math.inf

    @property
    def said(self) -> tuple[Event, ...]:
        """The application's events that earlier attempts have delivered, and that still count."""
        return spoken(self.log)


class Producer(Protocol):
    """Makes the events of streams. One object serves a whole process."""

    def resume(self, start: Start) -> Resume:
        """How this stream is resumed after its writer was interrupted."""
        ...

    def continued(self, task: Task) -> str:
        """How this attempt continues behind `task.said`; readers find it in the `claim`."""
        ...

    def events(self, task: Task, steps: Steps) -> AsyncGenerator[Event]:
        """Yield the stream's events, a terminal one last; `resume` says which are to come.

        The work begins when the first event is asked for, and ends when the generator is closed.
        Raises ProducerFailed.
        """
        ...


def of_producer(events: Sequence[Event]) -> tuple[Event, ...]:
    """The events among these that a later attempt needs."""
    return tuple(e for e in events if isinstance(e, _NEEDED) or _is_spoken(e))


def spoken(events: Sequence[Event]) -> tuple[Event, ...]:
    """The events of an application among these, without its last word and without the reset."""
    said: list[Event] = []
    for event in events:
        if isinstance(event, Reset):
            said = [each for each in said if event.within and each.within != event.within]
        elif _is_spoken(event):
            said.append(event)
    return tuple(said)


_NEEDED = (Reset, StepBegun, StepEnded)


def _is_spoken(event: Event) -> bool:
    return not (isinstance(event, ENGINE) or event.terminal)
