"""What it costs to be watched: Powertools' logger and metrics, and the counting for them.

Of an answer that is written and streamed at a model's pace, all of it that is spent on watching,
by the processor time of the same process: far less than two answers differ by. A cold start is
compared with one of the same application without Powertools at all.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from typing import TextIO

from proof.bench.dynamodb import moto
from proof.bench.processes import Sandbox, cpu_seconds, sandbox
from proof.bench.samples import Sample, in_turns
from proof.bench.table import Row

TITLE = "Observability, to be watched against to be not"

_ANSWERS = 9
_TOKENS = 150
_TOKENS_PER_SECOND = 60
_STARTS = 15


def rows() -> Iterator[Row]:
    """Processor time of an answer, and of a cold start."""
    yield _streaming()
    yield from _cold_start()


def _streaming() -> Row:
    environ = {
        "DEMO_FIRST_TOKEN_MS": "0",
        "DEMO_TOKENS": str(_TOKENS),
        "DEMO_TOKENS_PER_SECOND": str(_TOKENS_PER_SECOND),
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }
    with (
        tempfile.TemporaryFile("w+") as output,
        moto() as store,
        sandbox(
            "proof.bench.functions.timed.handler", store.environ() | environ, output=output
        ) as function,
    ):
        _share(function)
        shares = [_share(function) for _ in range(_ANSWERS)]
        _check(output)
    return Row(
        what=f"share in {_TOKENS} tokens at {_TOKENS_PER_SECOND} a second, processor time",
        ours=Sample(shares),
        unit="%",
        limit=1,
    )


def _share(function: Sandbox) -> float:
    """Watching an answer, against all that the process does meanwhile, in per cent."""
    watched, used = _watching(function), cpu_seconds(function.pid)
    _, answer = function.get("/sse", "prompt=bench")
    used = cpu_seconds(function.pid) - used
    watched = _watching(function) - watched
    if b"event: done" not in answer.body:
        raise ValueError("the answer did not come to its end")
    return watched / used * 100


def _watching(function: Sandbox) -> float:
    """Seconds that the function has spent on watching itself, since it began."""
    _, answer = function.get("/watching")
    seconds = re.search(rb'"seconds":([\d.e-]+)', answer.body)
    assert seconds is not None
    return float(seconds[1])


def _check(output: TextIO) -> None:
    """Raise ValueError unless each answer was told of, in the log and for CloudWatch."""
    output.seek(0)
    lines = [json.loads(line) for line in output]
    counted = sum("Appends" in line for line in lines)
    logged = sum(line.get("message") == "ended" for line in lines)
    if {counted, logged} != {_ANSWERS + 1}:
        raise ValueError(f"of {_ANSWERS + 1} answers {logged} were logged, {counted} counted")


def _cold_start() -> Iterator[Row]:
    _start("app.main.handler")
    _start("proof.bench.functions.unobserved.handler")
    ours, theirs = in_turns(
        _STARTS,
        lambda: _start("app.main.handler"),
        lambda: _start("proof.bench.functions.unobserved.handler"),
    )
    for what, index in (("process start to the first /next", 0), ("processor time of that", 1)):
        yield Row(
            what=f"{what}, against the same without Powertools",
            ours=Sample([start[index] for start in ours]),
            theirs=Sample([start[index] for start in theirs]),
            unit="ms",
            limit=1.1,
        )


def _start(handler: str) -> tuple[float, float]:
    """Milliseconds to the first /next: of the clock, and of the processor."""
    with sandbox(handler) as started:
        clock = started.polled_at - started.started_at
        return clock * 1e3, cpu_seconds(started.pid) * 1e3
