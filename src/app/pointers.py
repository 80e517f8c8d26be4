"""Pointers: names that an owner gives to streams, such as the id of a chat.

A pointer is one item beside the streams, under a key that no stream has. The newest value counts.
"""

import hashlib

from durable_stream import Clock
from durable_stream.table import Table, key


class Pointers:
    """The pointers of one table. `seconds` is how long they last, unless `put` says it.

    Every method raises StoreUnavailable or StoreRefused.
    """

    def __init__(self, table: Table, clock: Clock, seconds: int) -> None:
        self._table = table
        self._clock = clock
        self._seconds = seconds

    async def get(self, owner: str, name: str) -> str | None:
        """The value of a name, read consistently; None if it has none, or not any more."""
        item = await self._table.get(key(_partition(owner, name), 0))
        if item is None or int(item["expires_at"]["N"]) <= self._clock.now():
            return None
        return item["value"]["S"]

    async def put(self, owner: str, name: str, value: str, *, seconds: int | None = None) -> None:
        """Give a name its value, in place of the one before."""
        lasts = self._seconds if seconds is None else seconds
        expires_at = int(self._clock.now()) + lasts
        await self._table.put(
            {
                **key(_partition(owner, name), 0),
                "value": {"S": value},
                "expires_at": {"N": str(expires_at)},
            }
        )


def _partition(owner: str, name: str) -> str:
    """A key of a fixed length, whatever the name; owners have no line break in theirs."""
    return (
        "pointer:" + hashlib.sha256(f"{owner}\n{name}".encode("utf-8", "surrogatepass")).hexdigest()
    )
