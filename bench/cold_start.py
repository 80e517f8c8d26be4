"""How long somebody waits for a sandbox: from the start of its process to its first poll.

Against the stock runtime with Mangum around the same application, in the same environment, with
the same packages, all compiled beforehand: the first run of each is not counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.processes import cpu_seconds, resident_bytes, sandbox
from bench.samples import Sample, in_turns
from bench.table import Row

_ROUNDS = 11

TITLE = "Cold start, against awslambdaric with Mangum(app)"


@dataclass(frozen=True, slots=True)
class _ColdStart:
    """One sandbox: milliseconds since the start of its process, and MiB after init."""

    polled: float
    processor: float
    answered: float
    resident: float


def rows() -> Iterator[Row]:
    """Time to the first poll and to the first answer, and memory."""
    _ours()
    _theirs()
    ours, theirs = in_turns(_ROUNDS, _ours, _theirs)
    yield Row(
        what="process start to first /next",
        ours=Sample([start.polled for start in ours]),
        theirs=Sample([start.polled for start in theirs]),
        unit="ms",
        limit=1.0,
        aim=0.75,
    )
    yield Row(
        what="of which processor",
        ours=Sample([start.processor for start in ours]),
        theirs=Sample([start.processor for start in theirs]),
        unit="ms",
    )
    yield Row(
        what="process start to the answer to GET /healthz",
        ours=Sample([start.answered for start in ours]),
        theirs=Sample([start.answered for start in theirs]),
        unit="ms",
    )
    yield Row(
        what="resident memory after init",
        ours=Sample([start.resident for start in ours]),
        theirs=Sample([start.resident for start in theirs]),
        unit="MiB",
        limit=1.05,
    )


def _ours() -> _ColdStart:
    return _start("app.main.handler", stock=False)


def _theirs() -> _ColdStart:
    return _start("bench.functions.stock.handler", stock=True)


def _start(handler: str, *, stock: bool) -> _ColdStart:
    with sandbox(handler, stock=stock) as started:
        processor = cpu_seconds(started.pid)
        resident = resident_bytes(started.pid)
        _, answer = started.get("/healthz")
    return _ColdStart(
        polled=(started.polled_at - started.started_at) * 1e3,
        processor=processor * 1e3,
        answered=(answer.pieces[-1][0] - started.started_at) * 1e3,
        resident=resident / 2**20,
    )
