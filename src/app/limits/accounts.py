"""What streams cost their owners: reserved before a model is asked, settled when it is known.

A reservation is in the stream's `start`. It is settled by whoever has put the one last record, so
it is done once; if that process dies first, or has no time left, the reservation stands.
"""

from app.limits.budget import Budget, Reservation
from durable_stream.history import Transcript
from durable_stream.outcome import Outcome
from durable_stream.records import Done, Failed, Record, Start
from durable_stream.retry import patiently


class Accounts:
    """Reserves and settles for streams. `patience` is how long, in seconds, it bears the table."""

    def __init__(self, budget: Budget, patience: float) -> None:
        self._budget = budget
        self._patience = patience

    async def reserve(self, start: Record) -> None:
        """Reserve what a new stream may cost.

        Raises LimitExceeded, BeyondBudget, LogUnavailable or LogRefused.
        """
        await patiently(lambda: self._budget.reserve(_reservation(start)), self._patience)

    async def count(self, start: Record) -> None:
        """Count a request that makes no new stream; raises as `reserve`."""
        await patiently(lambda: self._budget.count(_reservation(start)), self._patience)

    async def release(self, start: Record) -> None:
        """Give back what was reserved for a stream that exists already."""
        await self._budget.release(_reservation(start))

    async def settle(self, stream: Transcript, cost: int) -> None:
        """Let a stream that is over count as what it has cost, in tokens. Raises nothing."""
        start = stream.start
        reserved = Reservation(start.owner, start.reserved, stream.created_at // 1000)
        await self._budget.settle(reserved, cost)


def cost(before: Transcript, outcome: Outcome | None = None) -> int:
    """What a stream has cost, in tokens.

    `before` is the stream without what `outcome` tells of its last writer; or all of it, if
    somebody ended it who had generated nothing.
    """
    told = _told(outcome)
    return _untold(before, outcome) * before.start.reserved + (told or 0)


def _reservation(record: Record) -> Reservation:
    start = record.payload
    assert isinstance(start, Start)
    return Reservation(start.owner, start.reserved, record.at // 1000)


def _untold(before: Transcript, outcome: Outcome | None) -> int:
    """How many attempts there were whose cost is not known: each counts as it was reserved."""
    if outcome is None:
        return before.attempts
    attempts = outcome.attempt + outcome.claims
    return attempts - 1 if _told(outcome) is not None or _cost_nothing(outcome) else attempts


def _told(outcome: Outcome | None) -> int | None:
    """What the last attempt has cost, in tokens; None where that was not told."""
    end = outcome.end if outcome is not None else None
    if not isinstance(end, Done) or end.input_tokens is None or end.output_tokens is None:
        return None
    return end.input_tokens + end.output_tokens


def _cost_nothing(outcome: Outcome) -> bool:
    return isinstance(outcome.end, Failed) and outcome.end.free
