"""Many streams at once in one sandbox, which writes and sends them, over a table that keeps up.

The more a sandbox has to do, the later it appends, and the more tokens are in a record: the reader
sees them come in lumps. So the rate of records says if the sandbox keeps up.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from proof.bench.dynamodb import Store, in_memory
from proof.bench.processes import cpu_seconds, sandbox
from proof.bench.runtime_api import Answer
from proof.bench.samples import Sample
from proof.bench.table import Row, Target, at_least, at_most

_ROUNDS = 3
_TOKENS = 400
_TOKENS_PER_SECOND = 60
_MOST = 64

TITLE = f"Many streams at {_TOKENS_PER_SECOND} tokens a second in one sandbox"


@dataclass(frozen=True, slots=True)
class _Load:
    """Records a second of each stream, and the share of a core in per cent."""

    rates: list[float]
    share: float


def rows() -> Iterator[Row]:
    """Records a second of a stream, and share of a core."""
    with in_memory() as store:
        yield from _under(store, _MOST, at_least(18, aim=22), at_most(100, aim=60))
        yield from _under(store, 16, None, None)


def _under(store: Store, streams: int, rate: Target | None, share: Target | None) -> Iterator[Row]:
    environ = {
        "AWS_LAMBDA_MAX_CONCURRENCY": str(streams),
        "DEMO_FIRST_TOKEN_MS": "100",
        "DEMO_TOKENS": str(_TOKENS),
        "DEMO_TOKENS_PER_SECOND": str(_TOKENS_PER_SECOND),
    }
    loads = [_load(store.environ() | environ, streams) for _ in range(_ROUNDS)]
    yield Row(
        what=f"{streams} streams: records a second of a stream",
        ours=Sample([rate for load in loads for rate in load.rates]),
        unit="/s",
        against=f"{_TOKENS_PER_SECOND} tokens a second, in records at least 40 ms apart",
        target=rate,
    )
    yield Row(
        what=f"{streams} streams: share of a core",
        ours=Sample([load.share for load in loads]),
        unit="%",
        target=share,
    )


def _load(environ: dict[str, str], streams: int) -> _Load:
    with sandbox("app.main.handler", environ) as writer:
        writer.get("/sse", "prompt=warm&max_tokens=1")
        used, began_at = cpu_seconds(writer.pid), time.perf_counter()
        answers = writer.get_at_once(streams, "/sse", "prompt=bench")
        took = time.perf_counter() - began_at
        used = cpu_seconds(writer.pid) - used
    return _Load([_rate(answer) for answer in answers], used / took * 100)


def _rate(answer: Answer) -> float:
    """The records with tokens in each second of an answer."""
    body = answer.body
    if b"event: done\n" not in body:
        raise ValueError("the answer did not come to its end")
    records = body.count(b"event: thinking\n") + body.count(b"event: answer\n")
    return records / (answer.pieces[-1][0] - answer.time_of(b"event: thinking\n"))
