"""The bytes of streamed answers: the events of a response, and the chunks of a completion."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from app.api.responses import Wire
from app.api.sse import KEEP_ALIVE
from app.exceptions import AppError
from app.wires.frames import frame
from app.wires.openai import shapes
from app.wires.openai.completion import Completion, StartedOver
from app.wires.openai.echo import Echo
from app.wires.openai.rendering import VERSIONS, ResponseRendering
from app.wires.openai.response import response_id
from app.wires.rendering import Json, of_start
from durable_stream import Record, StreamError

_DONE = b"data: [DONE]\n\n"
_AGAIN = "Forget the text, and ask again with the same Idempotency-Key: the answer is the same one."


@dataclass
class ResponseWire(Wire):
    """The events of a response behind number `after`."""

    stream_id: str
    after: int = -1
    echo: Echo = field(default_factory=Echo)
    _rendering: ResponseRendering | None = None
    _last: int = -1

    def opening(self) -> bytes:
        """A sign of life."""
        return KEEP_ALIVE

    def records(self, records: Sequence[Record]) -> bytes:
        """The events of these records, but for those that the client has."""
        return b"".join(
            self._frame(event)
            for record in records
            for event in self._of(record)
            if event["sequence_number"] > self.after
        )

    def unfinished(self) -> bytes:
        """An error, which the SDKs raise: a clean end would look like the answer's."""
        return _error("interrupted", f"The answer continues. {self._how}")

    def failed(self, error: AppError | StreamError) -> bytes:
        """An error, and how to continue."""
        return _error(error.code, f"{error.message} {self._how}")

    @property
    def _how(self) -> str:
        last = max(self._last, self.after)
        after = f", starting_after={last}" if last >= 0 else ""
        id_ = response_id(self.stream_id)
        return f"Continue with responses.retrieve({id_!r}, stream=True{after})."

    def _of(self, record: Record) -> Sequence[Json]:
        if self._rendering is None:
            self._rendering = of_start(VERSIONS, record)
        return self._rendering.render(record)

    def _frame(self, event: Json) -> bytes:
        self._last = event["sequence_number"]
        if "response" in event:
            event = {**event, "response": self.echo.added_to(event["response"])}
        return b"event: %s\n%s" % (event["type"].encode(), frame(event))


@dataclass
class CompletionWire(Wire):
    """The chunks of a completion.

    `caught_up_at` is the position up to which the log was there when the client connected: up to
    there, only the sum of the records is sent.
    """

    usage: bool = False
    caught_up_at: int = 0
    _completion: Completion = field(default_factory=Completion)
    _over: bool = False

    def opening(self) -> bytes:
        """A sign of life."""
        return KEEP_ALIVE

    def records(self, records: Sequence[Record]) -> bytes:
        """The chunks for what is new in these records; an error where it cannot be told."""
        if self._over or not records:
            return b""
        try:
            self._completion.take(records)
        except StartedOver:
            return self._ended(
                _error(
                    "started_over", f"The answer starts over, behind text that was sent. {_AGAIN}"
                )
            )
        if records[-1].seq < self.caught_up_at:
            return b""
        sent = _frames(self._completion.chunks(usage=self.usage))
        end = self._completion.end
        return sent if end is None else self._ended(sent + _last(self._completion))

    def unfinished(self) -> bytes:
        """An error, which the SDKs raise: a clean end would look like the answer's."""
        return b"" if self._over else _error("interrupted", f"The answer continues. {_AGAIN}")

    def failed(self, error: AppError | StreamError) -> bytes:
        """An error, and how to continue."""
        return b"" if self._over else _error(error.code, f"{error.message} {_AGAIN}")

    def _ended(self, last: bytes) -> bytes:
        self._over = True
        return last


def _last(completion: Completion) -> bytes:
    problem = completion.problem
    return _DONE if problem is None else frame(problem)


def _frames(events: Iterable[Json]) -> bytes:
    return b"".join(map(frame, events))


def _error(code: str, message: str) -> bytes:
    return frame(shapes.error(code, message))
