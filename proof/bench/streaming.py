"""The cost of an event on its way out: runtime loop, adapter and framework, against uvicorn.

The measure is the processor time of the serving process, so that neither the reader's speed nor
the machine's other work matters. Both serve the same route to the same reader, one body message
and one chunk an event; our runtime dials its reader, uvicorn is dialled by it.
"""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from uvicorn.config import Config
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from proof.bench.processes import Sandbox, Server, cpu_seconds, sandbox, server
from proof.bench.runtime_api import PATIENCE, Answer, read_chunked
from proof.bench.samples import Sample, in_turns
from proof.bench.table import Row, at_most

_EVENTS = 20_000
_ROUNDS = 7

TITLE = f"Streaming path, {_EVENTS:,} small events in one response"


@dataclass(frozen=True, slots=True)
class _Cost:
    """Microseconds an event: of the serving process, and of wall time."""

    processor: float
    wall: float


def rows() -> Iterator[Row]:
    """Time an event, through our runtime and through uvicorn."""
    with sandbox("proof.bench.functions.frames.handler") as runtime, _uvicorn() as uvicorn:
        # The first request imports modules that the others find imported.
        _through_runtime(runtime, 1)
        _through_uvicorn(uvicorn, 1)
        ours, theirs = in_turns(
            _ROUNDS,
            lambda: _through_runtime(runtime, _EVENTS),
            lambda: _through_uvicorn(uvicorn, _EVENTS),
        )
    yield Row(
        what="processor time of an SSE event",
        ours=Sample([cost.processor for cost in ours]),
        theirs=Sample([cost.processor for cost in theirs]),
        unit="µs",
        against=f"uvicorn with {_uvicorn_parts()}, same application",
        target=at_most(1.0, aim=0.6),
    )
    yield Row(
        what="wall time of an SSE event",
        ours=Sample([cost.wall for cost in ours]),
        theirs=Sample([cost.wall for cost in theirs]),
        unit="µs",
        against="the same",
    )


def _uvicorn() -> AbstractContextManager[Server]:
    application = "proof.bench.functions.frames:app"
    return server([sys.executable, "-m", "uvicorn", application, "--port=0", "--no-access-log"])


def _uvicorn_parts() -> str:
    """The parts that uvicorn chose from those installed; it would prefer uvloop and httptools."""
    loop = Config("").get_loop_factory()
    assert loop is not None
    return f"{AutoHTTPProtocol.__name__} on {loop.__module__.partition('.')[0]}"


def _through_runtime(sandbox: Sandbox, events: int) -> _Cost:
    used = cpu_seconds(sandbox.pid)
    asked_at, answer = sandbox.get("/events", f"count={events}")
    return _cost(cpu_seconds(sandbox.pid) - used, asked_at, answer, events)


def _through_uvicorn(server: Server, events: int) -> _Cost:
    used = cpu_seconds(server.pid)
    with socket.create_connection((server.host, server.port), timeout=PATIENCE) as connection:
        asked_at = time.perf_counter()
        connection.sendall(f"GET /events?count={events} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        with connection.makefile("rb") as source:
            answer = read_chunked(source)
    return _cost(cpu_seconds(server.pid) - used, asked_at, answer, events)


def _cost(processor: float, asked_at: float, answer: Answer, events: int) -> _Cost:
    delivered = answer.body.count(b"\nid: ")
    if delivered != events:
        raise ValueError(f"{events} events were asked for, {delivered} came")
    wall = answer.pieces[-1][0] - asked_at
    return _Cost(processor / events * 1e6, wall / events * 1e6)
