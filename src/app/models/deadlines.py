"""Deadlines: how long a provider may be silent.

        request ···· first ···· item ·· idle ·· sign of life ·· idle ·· item ·· …
                                  └─────────────── first ────────────────┘

A model may think for a long time before its first words and send nothing meanwhile. After that, the
connection must show signs of life (a ping, a comment, half a frame). Signs of life alone do not
extend the wait for the next item beyond `first`.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Self, TypeVar

from app.models.failures import failure

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """In seconds: for the connection, for the first text, and for silence after it."""

    connect: float = 5.0
    first: float = 120.0
    idle: float = 30.0

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read `PROVIDER_CONNECT_SECONDS`, `PROVIDER_FIRST_SECONDS`, `PROVIDER_IDLE_SECONDS`."""
        names = ("connect", "first", "idle")
        set_ = {name: environ.get(f"PROVIDER_{name.upper()}_SECONDS") for name in names}
        return cls(**{name: _seconds(name, value) for name, value in set_.items() if value})


class IdleTimer:
    """Ends one stream of items when it is silent for too long."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._clock = asyncio.get_running_loop().time
        self._item_by: float | None = None
        self._timeout: asyncio.Timeout | None = None

    def reset(self) -> None:
        """Note a sign of life that is not an item."""
        timeout = self._timeout
        if self._item_by is not None and timeout is not None and not timeout.expired():
            timeout.reschedule(min(self._clock() + self._deadlines.idle, self._item_by))

    def advance(self) -> None:
        """Note an item that is not passed on, such as a piece of a tool's arguments."""
        self._item_by = self._clock() + self._deadlines.first
        self.reset()

    def stop(self) -> None:
        """Stop timing: the answer is complete, and later silence cannot undo it."""
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(None)

    async def limit(self, items: AsyncGenerator[Item]) -> AsyncGenerator[Item]:
        """Yield the items; raises `provider_timeout`. Closing this closes the items."""
        wait_until = self._clock() + self._deadlines.first
        async with aclosing(items):
            while True:
                try:
                    # One timeout per item: the consumer's time does not count.
                    async with asyncio.timeout_at(wait_until) as self._timeout:
                        item = await anext(items)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    raise failure("provider_timeout") from error
                yield item
                now = self._clock()
                self._item_by = now + self._deadlines.first
                wait_until = min(now + self._deadlines.idle, self._item_by)


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise ValueError(
            f"PROVIDER_{name.upper()}_SECONDS={value!r} is not a duration: set it to a number of "
            "seconds above 0"
        )
    return seconds
