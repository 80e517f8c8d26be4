"""Silence: how long a stream's writer has said nothing, as far as this process could hear it."""

import asyncio
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from durable_stream.records import Record
    from durable_stream.timing import Clock, Timing

# So many pauses of a poller may lie between two answers of a store that is well.
_GAP = 1.5


class Silence:
    """Counts the silence between the records of one stream.

    A writer that cannot append because the store is silent is not dead. So only the time counts
    through which the store has answered, and a moment beyond it. The age that a record has by its
    writer's clock counts only for what this process cannot have heard, and some listening is
    asked for all the same: the record may have come late, and the clocks may disagree. None of
    this decides anything but when to try: the store decides who writes.
    """

    def __init__(self, timing: "Timing", clock: "Clock") -> None:
        self._timing = timing
        self._now = clock.now
        self._clock = asyncio.get_running_loop().time
        self._answered_at = self._clock()
        # In seconds: before this process heard the last record, and since.
        self._unheard = 0.0
        self._heard = 0.0
        self._jitter = 0.0

    def answered(self, news: "Record | None", *, first: bool = False) -> None:
        """Count an answer of the store; `news` is its newest record, unless that was known.

        `first` says that no record of the stream was known before.
        """
        gap = min(self._unanswered(), self._longest_gap())
        self._answered_at = self._clock()
        if news is None:
            self._heard += gap
            return
        self._heard = 0.0
        self._unheard = max(0.0, self._now() - news.at / 1000)
        if not first:
            # It was not there at the last answer, whatever its writer's clock says.
            self._unheard = min(self._unheard, gap)
        # Drawn for each silence: processes that have heard the same do not all act on it at once.
        self._jitter = random.uniform(0, self._timing.claim_jitter)  # noqa: S311

    def lease_over_in(self, listening: float, *, polling: bool) -> float:
        """Seconds until the writer's lease is over, if nothing is heard until then.

        So many seconds of `listening` are asked for. `polling` says that an answer may come.
        """
        unanswered = self._unanswered()
        if unanswered > self._longest_gap() and polling:
            return self._longest_gap()  # Then look again: nothing counts before the next answer.
        silence = max(self._timing.lease - self._unheard, listening)
        return max(0, silence + self._jitter - self._heard - unanswered)

    def _unanswered(self) -> float:
        return self._clock() - self._answered_at

    def _longest_gap(self) -> float:
        """How long after an answer the store is not yet taken to be silent itself."""
        return _GAP * self._timing.poll_interval_idle
