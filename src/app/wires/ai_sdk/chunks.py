"""Chunks: the bytes of one response to a client of the AI SDK."""

from collections.abc import Sequence

from app.api.sse import KEEP_ALIVE
from app.exceptions import AppError
from app.wires.ai_sdk.rendering import ANEW, FINISH, STEP, VERSIONS
from app.wires.frames import frame
from app.wires.rendering import Json, Rendering, of_start, records_of
from durable_stream import History, Record, StoreError, StreamError


class Chunks:
    """The bytes of one response; an `app.api.responses.Wire`.

    The client is sent the chunks from number `skip` on. `asks_again` says that it is a
    WorkflowChatTransport, which requests missing chunks itself. If it requests all, its page may
    show parts already, and `start` removes none. So `reset-step` takes the place of `start-step`,
    and the numbers stay.
    """

    def __init__(self, skip: int = 0, *, asks_again: bool = False) -> None:
        self._skip = skip
        self._asks_again = asks_again
        self._rendering: Rendering | None = None
        self._count = 0

    def opening(self) -> bytes:
        """A comment."""
        return KEEP_ALIVE

    def records(self, records: Sequence[Record]) -> bytes:
        """The chunks for these records; `finish` alone where the client has all of them."""
        sent = [frame(chunk) for record in records for chunk in self._new(record)]
        if not sent and records and records[-1].terminal:
            sent = [frame(FINISH)]
        return b"".join(sent)

    def unfinished(self) -> bytes:
        """Nothing: the client counts chunks, and asks for the next ones."""
        return b""

    def nothing_left(self) -> bytes:
        """`finish` alone: there is no stream."""
        return frame(FINISH)

    def failed(self, error: AppError | StreamError) -> bytes:
        """The error; nothing where the client will ask again.

        An error would be final for the client. Without one, the answer has no end yet.
        """
        if isinstance(error, StoreError) and self._rendering is not None:
            return b""
        return frame({"type": "error", "errorText": error.message})

    def _new(self, record: Record) -> Sequence[Json]:
        if self._rendering is None:
            self._rendering = of_start(VERSIONS, record)
        chunks = self._rendering.render(record)
        old = max(0, self._skip - self._count)
        self._count += len(chunks)
        if self._asks_again and not self._skip:
            chunks = [ANEW if chunk == STEP else chunk for chunk in chunks]
        return chunks[old:]


def count_of(history: History) -> int:
    """The number of chunks that a stream has so far."""
    records = records_of(history)
    rendering = of_start(VERSIONS, records[0])
    return sum(len(rendering.render(record)) for record in records)
