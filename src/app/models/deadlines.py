"""How long a provider may be silent.

        asked ···· first ···· item ·· idle ·· sign of life ·· idle ·· item ·· …
                                └─────────────── first ────────────────┘

A model may think for long before its first words, and send nothing meanwhile. Once it talks, it
must at least show that it lives (a ping, a comment, half a frame); but signs of life alone do not
keep a reader waiting for ever.
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
    """In seconds: until there is a connection, until there is text, and of utter silence."""

    connect: float = 5.0
    first: float = 120.0
    idle: float = 30.0

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read `PROVIDER_CONNECT_SECONDS`, `PROVIDER_FIRST_SECONDS`, `PROVIDER_IDLE_SECONDS`."""
        names = ("connect", "first", "idle")
        set_ = {name: environ.get(f"PROVIDER_{name.upper()}_SECONDS") for name in names}
        return cls(**{name: _seconds(name, value) for name, value in set_.items() if value})


class Watch:
    """Watches over one stream of items, and ends it where it is silent for too long."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._clock = asyncio.get_running_loop().time
        self._item_by: float | None = None
        self._waiting: asyncio.Timeout | None = None

    def alive(self) -> None:
        """Take note of a sign of life that is no item."""
        waiting = self._waiting
        if self._item_by is not None and waiting is not None and not waiting.expired():
            waiting.reschedule(min(self._clock() + self._deadlines.idle, self._item_by))

    def ended(self) -> None:
        """Stop watching: the end is known, and what may still come cannot undo it."""
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(None)

    async def over(self, items: AsyncGenerator[Item]) -> AsyncGenerator[Item]:
        """Yield the items; raises `provider_timeout`. They are closed when this is."""
        wait_until = self._clock() + self._deadlines.first
        async with aclosing(items):
            while True:
                try:
                    # One timeout an item: the time that the consumer takes does not count.
                    async with asyncio.timeout_at(wait_until) as self._waiting:
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
            f"PROVIDER_{name.upper()}_SECONDS={value!r} is no time: set it to a number of seconds "
            "above 0"
        )
    return seconds
