"""What one writer's work on a stream comes to, counted while it is at it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from durable_stream.records import Answer, Claim, Done, Failed, Handoff, Payload, Thinking

# As many as one metric may have in one line (CloudWatch, Embedded Metric Format specification).
MOST_LATENCIES = 100

End = Done | Failed | Handoff


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a generation came to; times are in seconds.

    `end` is its last word, which the log has acknowledged to this writer and to nobody else: None
    where it was superseded, abandoned or left alone by the log. `attempt` is the number of its
    first attempt, `claims` how many followed in it. `appends` counts acknowledged records,
    `append_latencies` is an even selection of what they took. `first_text` is from asking the
    provider to the acknowledgement of the first text, None where there was none, and `speaking`
    from that to the last.
    """

    attempt: int
    end: End | None
    claims: int = 0
    appends: int = 0
    append_latencies: Sequence[float] = ()
    first_text: float | None = None
    speaking: float = 0.0

    @property
    def over(self) -> bool:
        """Whether it has ended the stream."""
        return isinstance(self.end, Done | Failed)


class Tally:
    """Counts what a generation appends; it begins when the provider is asked."""

    def __init__(self, attempt: int) -> None:
        self._attempt = attempt
        self._asked_at = asyncio.get_running_loop().time()
        self._end: End | None = None
        self._claims = 0
        self._appends = 0
        self._latencies = _Selection(MOST_LATENCIES)
        self._first_text_at: float | None = None
        self._last_text_at = 0.0

    def appended(self, payload: Payload, begun_at: float, at: float) -> None:
        """Count a record whose appending began and was acknowledged at these times of the loop."""
        self._appends += 1
        self._latencies.add(at - begun_at)
        if isinstance(payload, Thinking | Answer):
            self._last_text_at = at
            if self._first_text_at is None:
                self._first_text_at = at
        elif isinstance(payload, Claim):
            self._claims += 1
        elif isinstance(payload, End):
            self._end = payload

    @property
    def ended(self) -> bool:
        """Whether the last word has been acknowledged."""
        return self._end is not None

    def outcome(self) -> Outcome:
        """What it has come to."""
        first_text_at = self._first_text_at
        return Outcome(
            attempt=self._attempt,
            end=self._end,
            claims=self._claims,
            appends=self._appends,
            append_latencies=tuple(self._latencies.values),
            first_text=None if first_text_at is None else first_text_at - self._asked_at,
            speaking=0.0 if first_text_at is None else self._last_text_at - first_text_at,
        )


class _Selection:
    """Every nth of the values that come, with n doubled whenever there are too many.

    So a long answer is heard all along, not only at its beginning.
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
