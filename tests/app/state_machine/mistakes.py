"""What the application bears in silence, and must never have to here."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.exceptions import LogUnavailable
from app.log import logger


class Mistakes(logging.Handler):
    """Collects what is logged as an error, but for a log that does not answer.

    And what the event loop hears of tasks that nobody waits for.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, LogUnavailable):
            extra = [getattr(record, name, "") for name in ("error", "frames")]
            self.found.append(f"{record.getMessage()} {error or ''} {extra}")

    def report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """As an event loop's exception handler."""
        del loop
        self.found.append(f"{context['message']}: {context.get('exception')!r}")


@contextmanager
def heard() -> Iterator[Mistakes]:
    """The mistakes that are made while the block runs; nothing else is heard of the log."""
    mistakes = Mistakes()
    log = logging.getLogger(logger.service)
    with pytest.MonkeyPatch.context() as patch:
        # What a hundred sandboxes log would bury the steps. Powertools needs its own handler.
        patch.setattr(log.handlers[0], "level", logging.CRITICAL)
        patch.setattr(log, "propagate", False)
        log.addHandler(mistakes)
        try:
            yield mistakes
        finally:
            log.removeHandler(mistakes)
