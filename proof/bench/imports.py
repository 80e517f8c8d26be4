"""The imports on the way to the first token: of the application, its start, and one request.

Python notes each module's own time and the time with all that it is the first to import
(`-X importtime`). Noting makes imports slower, so these times tell shares rather than waits.
"""

import re
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from proof.bench.dynamodb import in_memory
from proof.bench.processes import sandbox
from proof.bench.samples import Sample
from proof.bench.table import Row

_RUNS = 7
_MOST_EXPENSIVE = 10
_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|\s+(\S+)")

TITLE = f"The {_MOST_EXPENSIVE} most expensive imports before the first token"


@dataclass(frozen=True, slots=True)
class Import:
    """The milliseconds of a module by itself, and with all that it is the first to import."""

    own: float
    cumulative: float


def rows() -> Iterator[Row]:
    """The modules that take longest by themselves."""
    with in_memory() as store:
        _until_first_token(store.environ())
        runs = [_until_first_token(store.environ()) for _ in range(_RUNS)]
    own = {name: [run[name].own for run in runs if name in run] for name in runs[0]}
    dearest = sorted(own, key=lambda name: statistics.median(own[name]), reverse=True)
    for name in dearest[:_MOST_EXPENSIVE]:
        cumulative = statistics.median(run[name].cumulative for run in runs if name in run)
        yield Row(
            what=f"`{name}`",
            ours=Sample(own[name]),
            unit="ms",
            against=f"{cumulative:.3g} ms with its own imports",
        )
    everything = [sum(each.own for each in run.values()) for run in runs]
    yield Row(what=f"all {len(own)} modules", ours=Sample(everything), unit="ms")


def noted(output: str) -> Mapping[str, Import]:
    """The imports of a process that was run with `-X importtime`."""
    found = (_LINE.match(line) for line in output.splitlines())
    return {
        line[3]: Import(own=int(line[1]) / 1e3, cumulative=int(line[2]) / 1e3)
        for line in found
        if line is not None
    }


def _until_first_token(environ: Mapping[str, str]) -> Mapping[str, Import]:
    variables = {"PYTHONPROFILEIMPORTTIME": "1", "DEMO_FIRST_TOKEN_MS": "0", "DEMO_TOKENS": "1"}
    with tempfile.TemporaryFile("w+") as output:
        with sandbox("app.main.handler", {**environ, **variables}, output=output) as started:
            _, answer = started.get("/sse", "prompt=bench")
            answer.time_of(b"event: thinking")
        output.seek(0)
        return noted(output.read())
