"""Retry while the store is unavailable, up to a deadline."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from durable_stream.exceptions import StoreUnavailable

T = TypeVar("T")

_BACKOFF_FIRST = 0.05
# A writer that waits for a silent store must be back before others have listened in vain for long
# enough to take over (`Silence`).
_BACKOFF_MOST = 0.3


async def retry(call: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Return the call's result, retrying for so many seconds while the store is unavailable.

    Raises StoreUnavailable when the time is over.
    """
    backoff = _BACKOFF_FIRST
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    return await call()
                except StoreUnavailable:
                    # Jitter, so that those throttled together do not come back together.
                    await asyncio.sleep(backoff * random.uniform(0.5, 1))  # noqa: S311
                    backoff = min(backoff * 2, _BACKOFF_MOST)
    except TimeoutError as error:
        raise StoreUnavailable(f"the store has not answered within {seconds:.1f} s") from error
