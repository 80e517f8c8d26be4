"""The cost of one append, against boto3's put of the same item in a thread.

Each has a process of its own, of one kind: our runtime, and a route that appends. Both ask the same
table, which keeps connections alive. The measure is the processor time of the process. At a
stream's pace a process sleeps between two appends, and all it needs has left the caches: that is
the cost in an answer. Back to back is the cost under load.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

from proof.bench.dynamodb import Store, in_memory
from proof.bench.processes import Sandbox, sandbox
from proof.bench.samples import Sample, in_turns
from proof.bench.table import Row, Target, at_most

TITLE = "One append"

_ROUNDS = 7
_A_SECOND = 25
_PACED = 50
_BACK_TO_BACK = 500
_WARM_UP = 50

_BOTO3 = "boto3's put_item in a thread"


@dataclass(frozen=True, slots=True)
class Appender:
    """A process that appends, by the event log's store or by boto3."""

    by: Literal["store", "boto3"]
    process: Sandbox

    def processor_ms(self, count: int, pause_ms: int = 0) -> float:
        """The processor time of one of so many appends, with a pause before each."""
        return self._appended(count, pause_ms)["processor_ms"]

    def last_wait_ms(self, count: int, pause_ms: int) -> float:
        """The time until the last of so many records was durable, after a pause."""
        return self._appended(count, pause_ms)["last_ms"]

    def _appended(self, count: int, pause_ms: int) -> dict[str, float]:
        query = f"by={self.by}&count={count}&pause_ms={pause_ms}"
        _, answer = self.process.get("/appends", query)
        told: dict[str, float] = json.loads(answer.content)
        return told


@contextmanager
def appender(store: Store, by: Literal["store", "boto3"]) -> Iterator[Appender]:
    """An appending process that has appended before."""
    with sandbox("proof.bench.functions.appending.handler", store.environ()) as process:
        appending = Appender(by, process)
        appending.processor_ms(_WARM_UP)
        yield appending


def rows() -> Iterator[Row]:
    """Processor time at a stream's pace, and back to back."""
    with in_memory() as store, ExitStack() as stack:
        ours = stack.enter_context(appender(store, "store"))
        theirs = stack.enter_context(appender(store, "boto3"))
        yield _row(
            f"processor time of an append, {_A_SECOND} a second",
            ours,
            theirs,
            count=_PACED,
            pause_ms=1000 // _A_SECOND,
            target=at_most(0.40, aim=0.25),
        )
        yield _row(
            "processor time of an append, back to back",
            ours,
            theirs,
            count=_BACK_TO_BACK,
            target=at_most(0.15, aim=0.08),
        )


def _row(
    what: str,
    ours: Appender,
    theirs: Appender,
    *,
    count: int,
    pause_ms: int = 0,
    target: Target,
) -> Row:
    measured, compared = in_turns(
        _ROUNDS,
        lambda: ours.processor_ms(count, pause_ms),
        lambda: theirs.processor_ms(count, pause_ms),
    )
    return Row(
        what=what,
        ours=Sample(measured),
        theirs=Sample(compared),
        unit="ms",
        against=_BOTO3,
        target=target,
    )
