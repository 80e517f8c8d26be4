"""Mistakes that the application bears in silence, and that must never happen here."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.log import logger
from durable_stream import StoreUnavailable


class Mistakes(logging.Handler):
    """Collects logged errors, except those of a log that does not answer.

    It also collects the errors of tasks that no caller awaits, as the event loop reports them.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, StoreUnavailable):
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
    loggers = [logging.getLogger(name) for name in (logger.service, "durable_stream")]
    with pytest.MonkeyPatch.context() as patch:
        # The lines of a hundred sandboxes would bury the steps. Powertools needs its own handler.
        patch.setattr(logger.registered_handler, "level", logging.CRITICAL)
        for each in loggers:
            patch.setattr(each, "propagate", False)
            each.addHandler(mistakes)
        try:
            yield mistakes
        finally:
            for each in loggers:
                each.removeHandler(mistakes)
