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

    It also collects the errors of tasks that no caller awaits, as the event loop reports them:
    `broken` has the rules that such a task has found broken, `found` all else.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.broken: list[AssertionError] = []
        self.found: list[str] = []

    def forget(self) -> None:
        self.broken.clear()
        self.found.clear()

    def check(self) -> None:
        """Raise AssertionError if there was a mistake."""
        for error in self.broken:
            raise error
        assert self.found == [], "nothing breaks unheard"

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, StoreUnavailable):
            extra = [getattr(record, name, "") for name in ("error", "frames")]
            self.found.append(f"{record.getMessage()} {error or ''} {extra}")

    def report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """As an event loop's exception handler."""
        del loop
        error = context.get("exception")
        if isinstance(error, AssertionError):
            self.broken.append(error)
        else:
            self.found.append(f"{context['message']}: {error!r}")


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
