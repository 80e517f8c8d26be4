"""Rendering: the records of a stream as events of AG-UI.

A pure function of the log and of the run: `shown` has the forms of parts, and `snapshot` the events
for a client that comes back.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import durable_stream
from app.events import Answer, Done, Start, Thinking, ToolResult
from app.wires.ag_ui import protocol
from app.wires.ag_ui.parts import Part, Parts
from app.wires.ag_ui.shown import Shown
from app.wires.ag_ui.snapshot import snapshot
from app.wires.rendering import Json
from durable_stream import Cancelled, Event, Failed, Record, Reset


@dataclass(frozen=True, slots=True)
class Run:
    """A run as its client names it, and the messages that it answers.

    `version` is the protocol's that the client names, None before 1.0.
    """

    thread_id: str = ""
    run_id: str = ""
    messages: Sequence[Json] = ()
    version: str | None = protocol.VERSION


_UNNAMED = Run()


class AgUiRendering:
    """The events of one stream, for a client that knows nothing of its answer."""

    def __init__(self, run: Run = _UNNAMED) -> None:
        self._run = run
        self._parts = Parts()
        self._open: Part | None = None
        self._shown = Shown("")
        self._model = ""
        self._end: Sequence[Json] = ()

    def render(self, record: Record) -> Sequence[Json]:
        """The events for the next record. Every record from position 0 on is handed in once."""
        match record.event:
            case durable_stream.Start() as start:
                self._shown = Shown(record.stream_id)
                self._model = Start.of(start).model
                run = self._run
                return [protocol.run_started(run.thread_id, run.run_id, record.stream_id)]
            case Reset() as reset:
                self._parts.start_over(reset.within)
                return [*self._closed(), *self._all()]
            case event if event.terminal:
                self._end = [self._ended(event)]
                return [*self._closed(), *self._end]
            case event:
                return self._added(event)

    def again(self) -> Sequence[Json]:
        """The events behind `RUN_STARTED` that tell a client everything so far, whatever it knows.

        Text that is not complete is opened again by the next of its records.
        """
        self._open = None
        return [*self._all(), *self._end]

    def _all(self) -> Iterator[Json]:
        return snapshot(self._run.messages, self._parts, self._shown)

    def _added(self, event: Event) -> Sequence[Json]:
        part = self._parts.add(event)
        if part is None:
            return []
        if isinstance(event, Answer | Thinking):
            return self._text(part, event)
        # A text stays open where an earlier part changes.
        closed = self._closed() if part is self._parts.now.last else ()
        if isinstance(event, ToolResult):
            return [*closed, protocol.tool_result(self._shown.result(part))]
        return [*closed, *self._shown.newest(part)]

    def _text(self, part: Part, event: Answer | Thinking) -> Sequence[Json]:
        on_wire, id_ = _form(event), self._shown.id(part)
        content = on_wire.content(id_, event.text)
        if self._open is part:
            return [content]
        closed, self._open = self._closed(), part
        return [*closed, *on_wire.start(id_), content]

    def _closed(self) -> Sequence[Json]:
        part, self._open = self._open, None
        return _form(part.event).end(self._shown.id(part)) if part else ()

    def _ended(self, event: Event) -> Json:
        run = self._run.thread_id, self._run.run_id
        match event:
            case Failed():
                return protocol.run_error(event.code, event.message)
            case Cancelled() if self._run.version is None:
                # The outcome is new in 1.0; before, it makes @ag-ui/client fail.
                return protocol.run_finished(*run, "success", result={"finish_reason": "cancelled"})
            case Cancelled():
                return protocol.run_finished(*run, "cancelled")
            case Done():
                result = {"finish_reason": event.finish_reason}
                return protocol.run_finished(*run, "success", result=result, **self._usage(event))
            case _:
                return protocol.run_finished(*run, "success")

    def _usage(self, done: Done) -> dict[str, Any]:
        counts = {"inputTokens": done.input_tokens, "outputTokens": done.output_tokens}
        known = {name: count for name, count in counts.items() if count is not None}
        return {"usage": [{"model": self._model, **known}]} if known else {}


VERSIONS: Mapping[int, Callable[[Run], AgUiRendering]] = {1: AgUiRendering}


def _form(event: Event) -> protocol.TextForm:
    return protocol.REASONING if isinstance(event, Thinking) else protocol.TEXT
