"""Streams without a fault, on a machine that has too much to do: is a live writer taken for dead?

Every stream has a reader in another sandbox, which would take over. Beside them one process for
each core computes all the time.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from proof.chaos.plan import TOKENS_PER_SECOND, Plan, Way, draw, named
from proof.chaos.run import RECYCLE_EVERY, Report

AT_ONCE = 8
_STREAMS = 200
# Longer than two leases, so that each could be taken over more than once.
_SECONDS = 5
_PYTHON = [sys.executable, "-c", "while True: pass"]


def plans() -> list[Plan]:
    """Streams to which nothing happens, by numbers at which no sandbox is recycled."""
    numbers = [number for number in range(2 * _STREAMS) if number % RECYCLE_EVERY][:_STREAMS]
    quiet = next(plan for plan in (draw(0, number) for number in range(1000)) if plan.undisturbed)
    return [
        replace(
            quiet,
            number=number,
            prompt=f"{named(number)}nothing happens",
            way=Way.POST,
            shared=True,
            max_tokens=_SECONDS * TOKENS_PER_SECOND,
            stepping=False,
        )
        for number in numbers
    ]


@contextmanager
def load() -> Iterator[None]:
    """Keep every core busy."""
    with ExitStack() as stack:
        for _ in range(os.cpu_count() or 1):
            process = stack.enter_context(subprocess.Popen(_PYTHON))
            stack.callback(process.kill)
        yield


def rows(report: Report) -> Iterator[tuple[str, str]]:
    """The number of streams, and of writers that were taken for dead."""
    asked = [len(report.generations.of(played.outcome.plan.number)) for played in report.played]
    yield "streams", f"{len(asked)}"
    yield "machine's load at the end", f"{os.getloadavg()[0]:.1f}"
    yield "taken over", f"{sum(number > 1 for number in asked)}"
    yield "providers asked in vain", f"{sum(asked) - len(asked)}"
