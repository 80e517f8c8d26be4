"""Hooks: how limits, metrics and tracing listen to the engine, which does not know them."""

import logging
from collections.abc import Awaitable, Sequence

from durable_stream.events import Event
from durable_stream.exceptions import described
from durable_stream.history import History
from durable_stream.outcome import Outcome
from durable_stream.records import Record
from durable_stream.task import Task
from durable_stream.timing import Window

logger = logging.getLogger(__name__)


class Hooks:
    """One listener. Every method does nothing here; override those of interest.

    A coroutine may raise a StoreError, or an error of its own, only where it says so.
    """

    async def creating(self, start: Record) -> None:
        """Before a new stream is logged; raise an error to refuse it."""

    async def withdrawn(self, start: Record) -> None:
        """A stream that was about to be created already exists, or a later hook refused it."""

    async def repeated(self, start: Record) -> None:
        """A creation came again with its idempotency key; raise an error to refuse it."""

    async def connecting(self, stream_id: str, owner: str, window: Window) -> None:
        """Before a reader is let at a stream; raise an error to refuse it.

        `owner` is the stream's, as far as the application told it.
        """

    def resumed(self) -> None:
        """A reader came back and continues behind its cursor."""

    def took_over(self) -> None:
        """A stream whose writer was interrupted has another writer now, in this process."""

    def attempting(self, task: Task) -> None:
        """A writer begins with this attempt. Called in the context of each of its tasks."""

    async def ended(self, before: History, end: Event, outcome: Outcome | None) -> None:
        """This process appended a stream's terminal record. Called once for each stream at most.

        `before` is the stream without the records of the last writer, whose `outcome` it is; or
        the whole stream, and None, if a process ended it that had produced nothing.
        """

    def wrote(self, outcome: Outcome) -> None:
        """A writer of this process is done, for whatever reason."""


class AllHooks(Hooks):
    """Several listeners, called in their order."""

    def __init__(self, hooks: Sequence[Hooks]) -> None:
        self._hooks = tuple(hooks)

    async def creating(self, start: Record) -> None:
        """Ask each; if one refuses, withdraw from those before it."""
        for index, hook in enumerate(self._hooks):
            try:
                await hook.creating(start)
            except BaseException:
                for earlier in self._hooks[:index]:
                    await earlier.withdrawn(start)
                raise

    async def withdrawn(self, start: Record) -> None:
        """Tell each, also if one fails."""
        for hook in self._hooks:
            await _safely(hook.withdrawn(start))

    async def repeated(self, start: Record) -> None:
        """Ask each."""
        for hook in self._hooks:
            await hook.repeated(start)

    async def connecting(self, stream_id: str, owner: str, window: Window) -> None:
        """Ask each."""
        for hook in self._hooks:
            await hook.connecting(stream_id, owner, window)

    def resumed(self) -> None:
        """Tell each."""
        for hook in self._hooks:
            hook.resumed()

    def took_over(self) -> None:
        """Tell each."""
        for hook in self._hooks:
            hook.took_over()

    def attempting(self, task: Task) -> None:
        """Tell each."""
        for hook in self._hooks:
            hook.attempting(task)

    async def ended(self, before: History, end: Event, outcome: Outcome | None) -> None:
        """Tell each, also if one fails."""
        for hook in self._hooks:
            await _safely(hook.ended(before, end, outcome))

    def wrote(self, outcome: Outcome) -> None:
        """Tell each."""
        for hook in self._hooks:
            hook.wrote(outcome)


async def _safely(told: Awaitable[None]) -> None:
    """Let one listener fail without keeping the news from the others."""
    try:
        await told
    except Exception as error:  # noqa: BLE001 - a listener may raise anything
        logger.error("a hook failed", extra=described(error))  # noqa: TRY400
