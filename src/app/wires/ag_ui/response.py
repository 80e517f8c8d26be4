"""The bytes of a response on the wire of AG-UI."""

from collections.abc import Iterable, Sequence
from functools import partial

from app.api.responses import Wire
from app.exceptions import AppError, RetryLater, SecretUnavailable
from app.wires.ag_ui import protocol
from app.wires.ag_ui.rendering import VERSIONS, AgUiRendering, Run
from app.wires.frames import frame
from app.wires.rendering import Json, of_start
from durable_stream import Record, StoreUnavailable, StreamError

# The code for a response that ends before its run. The engine's `interrupted` is the end of a run.
UNFINISHED = "unfinished"

_CONTINUES = "The response ends, and the run continues: run the agent again with the same runId."


class Frames(Wire):
    """One response; an `app.api.responses.Wire`.

    `continued` is for a run of which the client may know a part: its newest record when the
    request came. The client may know all records until then.
    """

    def __init__(self, run: Run, continued: Record | None = None) -> None:
        self._run = run
        self._continued = continued
        self._waits_for = continued
        self._rendering: AgUiRendering | None = None

    def opening(self) -> bytes:
        """The beginning of a run that is known; that of a new one is in its first record."""
        if self._continued is None:
            return b""
        run = self._run
        return _frames([protocol.run_started(run.thread_id, run.run_id, self._continued.stream_id)])

    def records(self, records: Sequence[Record]) -> bytes:
        """The events for these records; of a known run nothing, then a snapshot."""
        if not records:
            return b""
        if self._rendering is None:
            versions = {number: partial(make, self._run) for number, make in VERSIONS.items()}
            self._rendering = of_start(versions, records[0])
        events = [event for record in records for event in self._rendering.render(record)]
        if self._waits_for is None:
            return _frames(events)
        # The client keeps reasoning and activities that a snapshot leaves out. Later records would
        # append to those that it knows in full.
        last = records[-1]
        if last.seq < self._waits_for.seq and not last.terminal:
            return b""
        self._waits_for = None
        return _frames(self._rendering.again())

    def unfinished(self) -> bytes:
        """An error, because the client takes an end without one for that of the run."""
        return _frames([protocol.run_error(UNFINISHED, _CONTINUES)])

    def failed(self, error: AppError | StreamError) -> bytes:
        """An error, which tells if the run can be read later."""
        passes = isinstance(error, RetryLater | SecretUnavailable | StoreUnavailable)
        message = f"{error.message} {_CONTINUES}" if passes else error.message
        return _frames([protocol.run_error(UNFINISHED if passes else error.code, message)])


def _frames(events: Iterable[Json]) -> bytes:
    return b"".join(map(frame, events))
