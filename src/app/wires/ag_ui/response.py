"""The bytes of a response on the wire of AG-UI."""

from collections.abc import Iterable, Sequence
from functools import partial

from app.exceptions import AppError, RetryLater, SecretUnavailable
from app.wires.ag_ui import protocol
from app.wires.ag_ui.protocol import Json
from app.wires.ag_ui.rendering import VERSIONS, AgUiRendering, Run
from app.wires.rendering import of_start
from durable_stream import Record, StoreUnavailable, StreamError

# The code for a response that ends before its run. The engine's `interrupted` is the end of a run.
UNFINISHED = "unfinished"

_CONTINUES = (
    "The response ends, and the run continues: run the agent again with the same runId to read on."
)


class Frames:
    """One response; an `app.api.responses.Wire`.

    `continued` is the id of the stream where the client may know a part of the answer.
    """

    def __init__(self, run: Run, continued: str | None = None) -> None:
        self._run = run
        self._continued = continued
        self._rendering: AgUiRendering | None = None

    def opening(self) -> bytes:
        """The beginning of a run that is known; that of a new one is in its first record."""
        if self._continued is None:
            return b""
        run = self._run
        return _frames([protocol.run_started(run.thread_id, run.run_id, self._continued)])

    def records(self, records: Sequence[Record]) -> bytes:
        """The events for these records; for the first ones of a known run, a snapshot."""
        if self._rendering is not None or not records:
            return _frames(self._rendered(records))
        versions = {number: partial(make, self._run) for number, make in VERSIONS.items()}
        self._rendering = of_start(versions, records[0])
        events = self._rendered(records)
        return _frames(events if self._continued is None else self._rendering.again())

    def unfinished(self) -> bytes:
        """An error, because the client takes an end without one for that of the run."""
        return _frames([protocol.run_error(UNFINISHED, _CONTINUES)])

    def failed(self, error: AppError | StreamError) -> bytes:
        """An error, which says if the run may be read on later."""
        passes = isinstance(error, RetryLater | SecretUnavailable | StoreUnavailable)
        message = f"{error.message} {_CONTINUES}" if passes else error.message
        return _frames([protocol.run_error(UNFINISHED if passes else error.code, message)])

    def _rendered(self, records: Sequence[Record]) -> list[Json]:
        rendering = self._rendering
        if rendering is None:
            return []
        return [event for record in records for event in rendering.render(record)]


def _frames(events: Iterable[Json]) -> bytes:
    return b"".join(b"data: %s\n\n" % protocol.compact(event).encode() for event in events)
