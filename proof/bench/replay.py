"""A finished stream, read again from its beginning: the cost of a reload.

It is compared with querying the same records with boto3, in the largest pages that there are, and
doing nothing with them. Both ask a table that keeps its connections alive.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from proof.bench.dynamodb import Store, in_memory
from proof.bench.items import done, item, new_stream_id, start
from proof.bench.processes import Sandbox, cpu_seconds, sandbox
from proof.bench.samples import Sample, in_turns
from proof.bench.table import Row, at_most

_RECORDS = 10_000
_ROUNDS = 7

TITLE = f"Replay of a finished stream of {_RECORDS:,} records"
_BOTO3 = "boto3's queries alone, in pages of 1 MB"


@dataclass(frozen=True, slots=True)
class _Replay:
    """Milliseconds to the first byte and to the last; microseconds of processor a record."""

    first: float
    last: float
    processor: float


def rows() -> Iterator[Row]:
    """Time to the first byte and to the last, processor time, records a second."""
    stream_id = new_stream_id()
    middle = [item(stream_id, seq, "answer", text=" token") for seq in range(1, _RECORDS - 1)]
    with in_memory() as store, sandbox("app.main.handler", store.environ()) as reader:
        store.fill([start(stream_id), *middle, done(stream_id, _RECORDS - 1)])
        _query(store, stream_id)
        _replay(reader, stream_id)
        ours, theirs = in_turns(
            _ROUNDS, lambda: _replay(reader, stream_id), lambda: _query(store, stream_id)
        )
    yield Row(
        what="request to the first byte",
        ours=Sample([replay.first for replay in ours]),
        unit="ms",
    )
    yield Row(
        what="request to the last byte",
        ours=Sample([replay.last for replay in ours]),
        theirs=Sample([replay.last for replay in theirs]),
        unit="ms",
        against=_BOTO3,
    )
    yield Row(
        what="processor time a record",
        ours=Sample([replay.processor for replay in ours]),
        theirs=Sample([replay.processor for replay in theirs]),
        unit="µs",
        against=_BOTO3,
        target=at_most(0.8, aim=0.5),
    )
    yield Row(
        what="events a second",
        ours=Sample([_RECORDS / replay.last * 1e3 for replay in ours]),
        unit="/s",
    )


def _replay(sandbox: Sandbox, stream_id: str) -> _Replay:
    used = cpu_seconds(sandbox.pid)
    asked_at, answer = sandbox.get(f"/streams/{stream_id}/events")
    used = cpu_seconds(sandbox.pid) - used
    delivered = answer.body.count(b"\nid: ")
    if delivered != _RECORDS:
        raise ValueError(f"of {_RECORDS} records {delivered} came: {answer.body[:500]!r}")
    first_at, last_at = answer.pieces[0][0], answer.pieces[-1][0]
    return _measured(asked_at, first_at, last_at, used)


def _query(store: Store, stream_id: str) -> _Replay:
    used = time.thread_time()
    asked_at = time.perf_counter()
    arrivals: list[float] = []
    records = 0
    while records < _RECORDS:
        page = store.client.query(
            TableName=store.table,
            KeyConditionExpression="stream_id = :stream AND seq >= :start",
            ExpressionAttributeValues={":stream": {"S": stream_id}, ":start": {"N": str(records)}},
            ConsistentRead=True,
        )
        arrivals.append(time.perf_counter())
        records += len(page["Items"])
    return _measured(asked_at, arrivals[0], arrivals[-1], time.thread_time() - used)


def _measured(asked_at: float, first_at: float, last_at: float, processor: float) -> _Replay:
    return _Replay(
        first=(first_at - asked_at) * 1e3,
        last=(last_at - asked_at) * 1e3,
        processor=processor / _RECORDS * 1e6,
    )
