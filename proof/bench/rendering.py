"""The cost of other clients' wires: the processor time of rendering a record, against our own wire.

A wire's time is that of its rendering, of JSON, and of the frame around it.
"""

import gc
import json
import pkgutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module

from app import wires
from app.api import sse
from app.events import (
    Answer,
    Data,
    Done,
    Progress,
    Source,
    Start,
    Thinking,
    ToolCall,
    ToolResult,
)
from app.wires.frames import frame
from app.wires.rendering import Rendering, of_start
from durable_stream import Event, Record
from proof.bench.samples import Sample, in_turns
from proof.bench.table import Row, at_most

TITLE = "Rendering a record, in processor time, against our own wire"

_ROUNDS = 15
# A piece of text as providers send it. The engine joins some of them.
_PIECE = ' token, "quoted" and\u00e9'
_PIECES = 500
_INPUT = json.dumps({"messages": [{"role": "user", "content": "Hello"}]})
_TOOLS = 5

Render = Callable[[Sequence[Record]], int]
Versions = Mapping[int, Callable[[], Rendering]]


def rows() -> Iterator[Row]:
    """Each wire that is there, for an answer of text and for one of an agent with tools."""
    for what, events in {"text": _text(), "tools and text": _with_tools()}.items():
        records = _records(events)
        for wire, versions in _wires().items():
            yield _row(f"{wire}, {what}", versions, records)


def _row(what: str, versions: Versions, records: Sequence[Record]) -> Row:
    def theirs() -> float:
        return _microseconds(lambda: _on_own_wire(records), len(records))

    def ours() -> float:
        return _microseconds(lambda: _on_wire(versions, records), len(records))

    ours(), theirs()
    measured, compared = in_turns(_ROUNDS, ours, theirs)
    return Row(
        what=what,
        ours=Sample(measured),
        theirs=Sample(compared),
        unit="µs",
        against="our own wire",
        target=at_most(2),
    )


def _wires() -> Mapping[str, Versions]:
    names = [each.name for each in pkgutil.iter_modules(wires.__path__) if each.ispkg]
    modules = {name: import_module(f"app.wires.{name}.rendering") for name in names}
    return {name: module.VERSIONS for name, module in modules.items()}


def _microseconds(render: Callable[[], int], records: int) -> float:
    gc.collect()
    began = time.process_time()
    render()
    return (time.process_time() - began) / records * 1e6


def _on_own_wire(records: Sequence[Record]) -> int:
    return sum(len(sse.frame(record)) for record in records)


def _on_wire(versions: Versions, records: Sequence[Record]) -> int:
    rendering = of_start(versions, records[0])
    return sum(len(frame(event)) for record in records for event in rendering.render(record))


def _records(events: Sequence[Event]) -> Sequence[Record]:
    return [
        Record("b" * 32, seq, event, writer="w", nonce="n", at=0, expires_at=0)
        for seq, event in enumerate(events)
    ]


def _text() -> Sequence[Event]:
    return [
        Start(input=_INPUT, owner="bench"),
        *[Thinking(text=_PIECE)] * (_PIECES // 5),
        *[Answer(text=_PIECE)] * _PIECES,
        Done(finish_reason="stop", input_tokens=1, output_tokens=_PIECES),
    ]


def _with_tools() -> Sequence[Event]:
    start, *said, done = _text()
    used = [event for number in range(_TOOLS) for event in _tool(number)]
    return [start, *used, *said, done]


def _tool(number: int) -> Iterator[Event]:
    """The events of an agent that uses a tool."""
    yield from [Answer(text=_PIECE)] * 20
    yield ToolCall(id=f"c{number}", name="search", arguments={"query": _PIECE, "most": 10})
    for done in range(1, 6):
        yield Progress(label=f"search {number}", done=done, total=5)
    yield ToolResult(
        id=f"c{number}", output=[{"title": _PIECE, "rank": rank} for rank in range(10)]
    )
    yield Source(title=_PIECE, url=f"https://example.com/{number}")
    yield Data(name="found", value={"count": number, "titles": [_PIECE] * 5})
