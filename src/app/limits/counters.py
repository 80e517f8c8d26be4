"""Counters in the table, which never exceed their limits.

A counter is one item beside the streams, under a key that no stream has: `limit:` and its name.
Adding and comparing are one conditional update, so sandboxes that count at once cannot exceed the
limit (DynamoDB developer guide, "Condition expressions").

An addition whose response was lost is retried, and may count twice. A subtraction is not retried,
and may not count at all. Both err on the safe side.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from app.log import logger
from durable_stream import StoreError
from durable_stream.table import Table, key

_PARTITION = "limit:"


@dataclass(frozen=True, slots=True)
class Charge:
    """An amount, at most `limit`, on a counter that may reach it; it ends at `expires_at`."""

    counter: str
    amount: int
    limit: int
    expires_at: int


class Counters:
    """The counters of one table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def take(self, charges: Sequence[Charge]) -> Charge | None:
        """Add the charges in their order and return None; or return the first that does not fit.

        The charges before that one are subtracted again. Raises StoreUnavailable or StoreRefused.
        """
        for index, charge in enumerate(charges):
            try:
                fits = charge.amount <= charge.limit and await self._take(charge)
            except BaseException:
                await self.give_back(charges[:index])
                raise
            if not fits:
                await self.give_back(charges[:index])
                return charge
        return None

    async def give_back(self, charges: Sequence[Charge]) -> None:
        """Subtract charges that were not used. If that fails, they stay counted."""
        answers = await asyncio.gather(*map(self._give_back, charges), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, StoreError):
                logger.warning("a counter was not corrected", exc_info=answer)
            elif answer is not None:
                raise answer

    async def _take(self, charge: Charge) -> bool:
        return await self._table.update(
            key(_PARTITION + charge.counter, 0),
            "ADD used :amount SET expires_at = :expires_at",
            "attribute_not_exists(used) OR used <= :room",
            {
                ":amount": {"N": str(charge.amount)},
                ":room": {"N": str(charge.limit - charge.amount)},
                ":expires_at": {"N": str(charge.expires_at)},
            },
        )

    async def _give_back(self, charge: Charge) -> None:
        # The counter may have expired, and be gone.
        await self._table.update(
            key(_PARTITION + charge.counter, 0),
            "ADD used :amount",
            "attribute_exists(used)",
            {":amount": {"N": str(-charge.amount)}},
            once=True,
        )
