"""Bearing with a log that fails for a while."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.exceptions import LogUnavailable

T = TypeVar("T")

_BACKOFF_FIRST = 0.05
# Of those who wait for a silent log, a writer must be back before others have listened in vain for
# long enough to take over (`Tail.free_in`).
_BACKOFF_MOST = 0.5


async def patiently(call: Callable[[], Awaitable[T]], seconds: float) -> T:
    """What the call returns, tried again and again for so long if the log does not answer.

    Raises LogUnavailable when the time is over.
    """
    backoff = _BACKOFF_FIRST
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    return await call()
                except LogUnavailable:
                    # Jitter, so that those throttled together do not come back together.
                    await asyncio.sleep(backoff * random.uniform(0.5, 1))  # noqa: S311
                    backoff = min(backoff * 2, _BACKOFF_MOST)
    except TimeoutError as error:
        raise LogUnavailable(f"the log has not answered within {seconds:.1f} s") from error
