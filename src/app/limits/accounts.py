"""Accounts: the cost of streams, reserved before a model is asked and settled when it is known.

A stream's reservation follows from its request. It is settled by the process that has put the
terminal record, so it is done once; if that process dies first, or has no time left, the
reservation stands.
"""

import durable_stream
from app import metrics
from app.events import Done, Start
from app.limits.budget import Budget, Reservation
from app.models import estimate
from app.models.base import Request
from durable_stream import Event, Failed, History, Hooks, Outcome, Record
from durable_stream.retry import retry


class Accounts(Hooks):
    """Reserves and settles. A failing table is retried for `patience` seconds."""

    def __init__(self, budget: Budget, patience: float) -> None:
        self._budget = budget
        self._patience = patience

    async def creating(self, start: Record) -> None:
        """Reserve the most that a new stream may cost.

        Raises LimitExceeded, BeyondBudget, StoreUnavailable or StoreRefused.
        """
        await retry(lambda: self._budget.reserve(_reservation(start)), self._patience)

    async def repeated(self, start: Record) -> None:
        """Count a request that makes no new stream; raises as `creating`."""
        await retry(lambda: self._budget.count(_reservation(start)), self._patience)

    async def withdrawn(self, start: Record) -> None:
        """Give the reservation back."""
        await self._budget.release(_reservation(start))

    async def ended(self, before: History, end: Event, outcome: Outcome | None) -> None:
        """Replace the reservation by the cost, in tokens. Raises nothing."""
        reserved = _reserved(before.start, before.created_at // 1000)
        tokens = cost(before, end, outcome)
        metrics.spent(tokens)
        await self._budget.settle(reserved, tokens)


def cost(before: History, end: Event, outcome: Outcome | None) -> int:
    """The cost of a stream that has ended, in tokens; the arguments are those of `Hooks.ended`."""
    unknown = _unknown(before, end, outcome)
    return unknown * _most_tokens(before.start) + (_reported(end) or 0)


def _reservation(record: Record) -> Reservation:
    assert isinstance(record.event, durable_stream.Start)
    return _reserved(record.event, record.at // 1000)


def _reserved(start: durable_stream.Start, at: int) -> Reservation:
    return Reservation(start.owner, _most_tokens(start), at)


def _most_tokens(start: durable_stream.Start) -> int:
    """The most tokens that one attempt may cost."""
    most_tokens = Start.of(start).most_tokens
    if most_tokens is not None:
        return most_tokens
    return estimate.at_most(Request.decode(start.input))


def _unknown(before: History, end: Event, outcome: Outcome | None) -> int:
    """The number of attempts whose cost is unknown: each counts as it was reserved."""
    if outcome is None:
        return before.attempts
    attempts = outcome.attempt + outcome.claims
    is_known = _reported(end) is not None or (isinstance(end, Failed) and end.free)
    return attempts - 1 if is_known else attempts


def _reported(end: Event) -> int | None:
    """The cost of the last attempt, in tokens; None where the provider did not report it."""
    if not isinstance(end, Done) or end.input_tokens is None or end.output_tokens is None:
        return None
    return end.input_tokens + end.output_tokens
