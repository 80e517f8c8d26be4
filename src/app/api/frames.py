"""The own wire: each record is one Server-Sent Event."""

from collections.abc import Sequence
from dataclasses import replace

from app.api.sse import Cursor, frame, moved, refusal, retry
from app.exceptions import AppError, RetryLater, SecretError
from app.settings import EventSourceSettings
from durable_stream import Handoff, Record, StoreError, StreamError


class Frames:
    """The bytes of one response on the own wire; an `app.api.responses.Wire`.

    `buffered` is the window's: such a response is one of many, so its client is to be back soon.
    `cursor` is the place that a reading is opened behind, if that is done after the head was sent.
    """

    def __init__(
        self, settings: EventSourceSettings, *, buffered: bool, cursor: Cursor | None = None
    ) -> None:
        self._settings = settings
        self._buffered = buffered
        self._handed_over = False
        self._end = b"" if cursor is None else moved(replace(cursor, at_end=True))

    def opening(self) -> bytes:
        """The time until an EventSource should come back after any end."""
        settings = self._settings
        return retry(settings.buffered_retry_ms if self._buffered else settings.retry_ms)

    def records(self, records: Sequence[Record]) -> bytes:
        """One event for each."""
        if records:
            self._handed_over = isinstance(records[-1].event, Handoff)
        return b"".join(map(frame, records))

    def unfinished(self) -> bytes:
        """Nothing, as an EventSource comes back after any end; soon where a writer is missing."""
        return retry(self._settings.handoff_retry_ms) if self._handed_over else b""

    def nothing_left(self) -> bytes:
        """The end as the cursor, so that the next answer can be 204."""
        return self._end

    def failed(self, error: AppError | StreamError) -> bytes:
        """When to come back from trouble that will pass; else an event that tells why not."""
        if isinstance(error, RetryLater):
            # An error event would tell that the stream has failed, and nothing is wrong with it.
            return retry(error.retry_after * 1000)
        if isinstance(error, StoreError | SecretError):
            return retry(self._settings.retry_trouble_ms)
        # Behind it the end as the cursor, or an EventSource would come back for it for ever.
        return refusal(error.code, error.message, retryable=False) + self._end
