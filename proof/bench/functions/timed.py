"""The application with a stopwatch on its logs and metrics: `GET /watching` reads it."""

import logging
import os
import time
from typing import TYPE_CHECKING, Any

from app import metrics, models
from app.api.deps import public
from app.application import create_app
from app.log import StreamInLog, logger
from app.settings import Settings
from durable_stream import AllHooks, Clock, Hooks, Timing
from durable_stream.outcome import Tally
from durable_stream.table import Table
from lambda_stream import Adapter

if TYPE_CHECKING:
    from collections.abc import Callable

_spent = 0.0


def _timed(owner: object, name: str) -> None:
    """Let a function add its thread's processor time to the stopwatch, measuring included."""
    call: Callable[..., Any] = getattr(owner, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        global _spent  # noqa: PLW0603 - one stopwatch for all
        began_at = time.thread_time()
        try:
            return call(*args, **kwargs)
        finally:
            _spent += time.thread_time() - began_at

    setattr(owner, name, timed)


def _watching(_table: Table, _timing: Timing, _clock: Clock) -> Hooks:
    hooks = metrics.Metrics(), StreamInLog()
    for name in ("resumed", "took_over", "wrote"):
        _timed(hooks[0], name)
    _timed(hooks[1], "attempting")
    return AllHooks(hooks)


for _name in ("__init__", "appended", "outcome"):
    _timed(Tally, _name)
for _name in ("failed", "refused"):
    _timed(metrics, _name)
# Every line of the log, the application's and the engine's, passes through here.
_timed(logging.Logger, "handle")
_timed(logger, "thread_safe_append_keys")

settings = Settings.from_environ(os.environ)
model = models.create(settings.provider, os.environ)
app = create_app(settings, model, hooks=[_watching])
handler = Adapter(app)


@app.get("/watching")
@public
async def watching() -> dict[str, float]:
    """The seconds so far."""
    return {"seconds": _spent}
