"""The wait for a new sandbox: from the start of its process to its first poll.

It is compared with the stock runtime with Mangum around the same application, with Powertools and a
boto3 client made at import, as people write it. Both have the same environment and the same
packages, all compiled beforehand: the first run of each is not counted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from proof.bench.dynamodb import in_memory
from proof.bench.processes import Sandbox, cpu_seconds, resident_bytes, sandbox
from proof.bench.samples import Sample, in_turns
from proof.bench.table import Row, at_most

_ROUNDS = 15

TITLE = "Cold start"
_STOCK = "awslambdaric, Mangum(app), Powertools and a boto3 client"


@dataclass(frozen=True, slots=True)
class _Start:
    """One sandbox: milliseconds of clock and processor to its first poll, and its MiB then."""

    polled: float
    processor: float
    resident: float


def rows() -> Iterator[Row]:
    """Time to the first poll, memory, and time to the first token."""
    _ours()
    _theirs()
    ours, theirs = in_turns(_ROUNDS, _ours, _theirs)
    yield Row(
        what="process start to the first /next",
        ours=Sample([start.polled for start in ours]),
        theirs=Sample([start.polled for start in theirs]),
        unit="ms",
        against=_STOCK,
        target=at_most(0.72, aim=0.62),
    )
    yield Row(
        what="processor time of that",
        ours=Sample([start.processor for start in ours]),
        theirs=Sample([start.processor for start in theirs]),
        unit="ms",
        against="the same",
    )
    yield Row(
        what="resident memory after it",
        ours=Sample([start.resident for start in ours]),
        theirs=Sample([start.resident for start in theirs]),
        unit="MiB",
        against="the same",
        target=at_most(0.75, aim=0.68),
    )
    yield _first_token()


def _first_token() -> Row:
    """Time from the start of the process, alone: no real model is as fast as this one."""
    provider = {"DEMO_FIRST_TOKEN_MS": "0", "DEMO_TOKENS": "1"}
    with in_memory() as store:
        [waits] = in_turns(_ROUNDS, lambda: _until_first_token(store.environ() | provider))
    return Row(what="process start to the first token", ours=Sample(waits), unit="ms")


def _ours() -> _Start:
    with sandbox("app.main.handler") as started:
        return _measured(started)


def _theirs() -> _Start:
    with sandbox("proof.bench.functions.stock.handler", stock=True) as started:
        return _measured(started)


def _measured(started: Sandbox) -> _Start:
    return _Start(
        polled=(started.polled_at - started.started_at) * 1e3,
        processor=cpu_seconds(started.pid) * 1e3,
        resident=resident_bytes(started.pid) / 2**20,
    )


def _until_first_token(environ: Mapping[str, str]) -> float:
    with sandbox("app.main.handler", environ) as started:
        _, answer = started.get("/sse", "prompt=bench")
    return (answer.time_of(b"event: thinking") - started.started_at) * 1e3
