"""The application with a stopwatch on all that watches it: `GET /watching` reads it."""

import time
from typing import TYPE_CHECKING, Any

from app import metrics
from app.log import logger
from app.main import app, handler
from durable_stream.outcome import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["handler"]

_LOGGING = ("debug", "info", "warning", "error", "exception", "thread_safe_append_keys")

_spent = 0.0


def _timed(owner: object, name: str) -> None:
    """Let a function add to the stopwatch the processor time of its thread, and of measuring it."""
    call: Callable[..., Any] = getattr(owner, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        global _spent  # noqa: PLW0603 - one stopwatch for all
        began_at = time.thread_time()
        try:
            return call(*args, **kwargs)
        finally:
            _spent += time.thread_time() - began_at

    setattr(owner, name, timed)


for _name in ("__init__", "appended", "outcome"):
    _timed(Tally, _name)
for _name in ("generated", "took_over", "resumed", "cancelled", "failed", "refused"):
    _timed(metrics, _name)
for _name in _LOGGING:
    _timed(logger, _name)


@app.get("/watching")
async def watching() -> dict[str, float]:
    """Seconds so far."""
    return {"seconds": _spent}
