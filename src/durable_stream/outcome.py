"""The outcome of one writer's work on a stream, counted while it works."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from durable_stream.events import Claim, Event, Handoff

# As many as one metric may have in one line (CloudWatch, Embedded Metric Format specification).
MOST_LATENCIES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The work of one writer; times are in seconds.

    `end` is its last event, which the store has acknowledged to this writer and to no other: None
    where it was superseded, abandoned or failed by the store. `attempt` is the number of its
    first attempt, `claims` how many followed in it. `appends` counts acknowledged records,
    `append_latencies` is an even selection of their latencies. `first_progress` is the time from
    starting the producer to the acknowledgement of the first progress, None where there was none,
    and `producing` the time from that to the last.
    """

    attempt: int
    end: Event | None
    claims: int = 0
    appends: int = 0
    append_latencies: Sequence[float] = ()
    first_progress: float | None = None
    producing: float = 0.0


class Tally:
    """Counts the records that a writer appends; it begins when the producer is started."""

    def __init__(self, attempt: int) -> None:
        self._attempt = attempt
        self._started_at = asyncio.get_running_loop().time()
        self._end: Event | None = None
        self._claims = 0
        self._appends = 0
        self._latencies = _Selection(MOST_LATENCIES)
        self._first_progress_at: float | None = None
        self._last_progress_at = 0.0

    def appended(self, event: Event, begun_at: float, at: float) -> None:
        """Count a record whose appending began and was acknowledged at these times of the loop."""
        self._appends += 1
        self._latencies.add(at - begun_at)
        if event.terminal or isinstance(event, Handoff):
            self._end = event
        elif isinstance(event, Claim):
            self._claims += 1
        elif event.progress:
            self._last_progress_at = at
            if self._first_progress_at is None:
                self._first_progress_at = at

    @property
    def ended(self) -> bool:
        """True if the last event has been acknowledged."""
        return self._end is not None

    def outcome(self) -> Outcome:
        """The sum so far."""
        first_at = self._first_progress_at
        return Outcome(
            attempt=self._attempt,
            end=self._end,
            claims=self._claims,
            appends=self._appends,
            append_latencies=tuple(self._latencies.values),
            first_progress=None if first_at is None else first_at - self._started_at,
            producing=0.0 if first_at is None else self._last_progress_at - first_at,
        )


class _Selection:
    """Every nth of the values that come, with n doubled whenever there are too many.

    So a long stream is measured all along, not only at its beginning.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._every = 1
        self._skip = 0
        self.values: list[float] = []

    def add(self, value: float) -> None:
        if self._skip:
            self._skip -= 1
            return
        if len(self.values) == self._most:
            del self.values[1::2]
            self._every *= 2
        self.values.append(value)
        self._skip = self._every - 1
