"""The budget: how many requests a minute, and how many tokens a day, a principal may use.

A request reserves the most tokens that it may cost before the model is asked. When the answer has
ended, the actual cost replaces the reservation. A stream that never ends keeps its reservation
until the day is over, so failing does not raise the limit.

Days and minutes are in UTC. An answer counts on the day of its request. One daily limit is for all
principals together: it bounds the cost of a day.
"""

from dataclasses import dataclass

from app.exceptions import RetryLater
from app.limits.counters import Charge, Counters
from app.limits.exceptions import BeyondBudget
from app.limits.settings import Limits

_MINUTE = 60
# Tokens that were reserved and not spent are free again when an answer has ended.
_LOOK_AGAIN = 10 * _MINUTE
_DAY = 24 * 3600

_TOTAL = "all"


@dataclass(frozen=True, slots=True)
class Reservation:
    """The tokens that a principal reserved at a Unix time; "" is all callers of an open gate."""

    principal: str
    tokens: int
    at: int


class Budget:
    """Reserves and settles. Reserving and counting raise StoreUnavailable or StoreRefused, too."""

    def __init__(self, counters: Counters, limits: Limits) -> None:
        self._counters = counters
        self._limits = limits

    async def reserve(self, wanted: Reservation) -> None:
        """Reserve, and count a request; raises BeyondBudget or RetryLater."""
        tokens = self._tokens(wanted, wanted.tokens)
        for charge in tokens:
            if charge.amount > charge.limit:
                raise BeyondBudget(charge.amount, charge.limit)
        requests = self._requests(wanted)
        # In this order: a principal that asks too often must not use up the tokens of others.
        refused = await self._counters.take([*requests, *tokens])
        if refused is not None:
            raise _too_soon(refused, wanted) if refused in requests else _spent(wanted)

    async def count(self, wanted: Reservation) -> None:
        """Count a request that reserves nothing; raises RetryLater."""
        refused = await self._counters.take(self._requests(wanted))
        if refused is not None:
            raise _too_soon(refused, wanted)

    async def release(self, reserved: Reservation) -> None:
        """Give the tokens back: nothing was asked for after all. Raises nothing."""
        await self._counters.give_back(self._tokens(reserved, reserved.tokens))

    async def settle(self, reserved: Reservation, spent: int) -> None:
        """Let a reservation count as the tokens spent, which may be more. Raises nothing."""
        unused = reserved.tokens - spent
        if unused:
            await self._counters.give_back(self._tokens(reserved, unused))

    def _requests(self, wanted: Reservation) -> list[Charge]:
        limit = self._limits.requests_per_minute
        if limit is None:
            return []
        minute = wanted.at // _MINUTE
        counter = f"requests:{_name(wanted)}:{minute}"
        return [Charge(counter, 1, limit, (minute + 2) * _MINUTE)]

    def _tokens(self, wanted: Reservation, amount: int) -> list[Charge]:
        day = wanted.at // _DAY
        expires_at = (day + 2) * _DAY
        limits = (
            (_name(wanted), self._limits.tokens_per_day),
            (_TOTAL, self._limits.total_tokens_per_day),
        )
        return [
            Charge(f"tokens:{name}:{day}", amount, limit, expires_at)
            for name, limit in limits
            if limit is not None
        ]


def _name(wanted: Reservation) -> str:
    # With a colon, which no principal's name has, so no name equals the total's.
    return f"by:{wanted.principal}"


def _too_soon(refused: Charge, wanted: Reservation) -> RetryLater:
    return RetryLater(
        "rate_limited",
        f"At most {refused.limit} requests a minute are taken: try again in the next one.",
        retry_after=_MINUTE - wanted.at % _MINUTE,
    )


def _spent(wanted: Reservation) -> RetryLater:
    return RetryLater(
        "budget_spent",
        "Not enough is left of the tokens for today: ask for a smaller max_tokens, try again when "
        "answers that are under way have ended, or tomorrow (UTC).",
        retry_after=min(_LOOK_AGAIN, _DAY - wanted.at % _DAY),
    )
