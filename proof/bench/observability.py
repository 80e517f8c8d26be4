"""The cost of observability: Powertools' logger and metrics, and the counting for them.

It is measured as a share of an answer that is written and streamed at a model's pace, in processor
time of the same process: it is far less than the difference between two answers. Of a cold start,
Powertools' share in the imports is measured.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import TextIO

from proof.bench.dynamodb import in_memory
from proof.bench.imports import noted
from proof.bench.processes import Sandbox, cpu_seconds, environ_of, sandbox
from proof.bench.samples import Sample
from proof.bench.table import Row, at_most

TITLE = "Observability, to be watched against to be not"

_ANSWERS = 9
_TOKENS = 150
_TOKENS_PER_SECOND = 60
_IMPORTS = 7

_POWERTOOLS = "aws_lambda_powertools"


def rows() -> Iterator[Row]:
    """The share in an answer's processor time, and in a cold start's imports."""
    yield _streaming()
    yield _imports()


def _streaming() -> Row:
    environ = {
        "DEMO_FIRST_TOKEN_MS": "0",
        "DEMO_TOKENS": str(_TOKENS),
        "DEMO_TOKENS_PER_SECOND": str(_TOKENS_PER_SECOND),
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "POWERTOOLS_METRICS_DISABLED": "false",
    }
    with (
        tempfile.TemporaryFile("w+") as output,
        in_memory() as store,
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
        target=at_most(1),
    )


def _share(function: Sandbox) -> float:
    """The share of watching an answer in all the work of the process meanwhile, in per cent."""
    watched, used = _watching(function), cpu_seconds(function.pid)
    _, answer = function.get("/sse", "prompt=bench")
    used = cpu_seconds(function.pid) - used
    watched = _watching(function) - watched
    if b"event: done" not in answer.body:
        raise ValueError("the answer did not come to its end")
    return watched / used * 100


def _watching(function: Sandbox) -> float:
    """The seconds that the function has spent on watching itself since it began."""
    _, answer = function.get("/watching")
    seconds = re.search(rb'"seconds":([\d.e-]+)', answer.body)
    assert seconds is not None
    return float(seconds[1])


def _check(output: TextIO) -> None:
    """Raise ValueError unless each answer is in the log and in the metrics for CloudWatch."""
    output.seek(0)
    lines = [json.loads(line) for line in output]
    counted = sum("Appends" in line for line in lines)
    logged = sum(line.get("message") == "ended" for line in lines)
    if {counted, logged} != {_ANSWERS + 1}:
        raise ValueError(f"of {_ANSWERS + 1} answers {logged} were logged, {counted} counted")


def _imports() -> Row:
    """The import of Powertools, as a share of importing the whole application."""
    _shares_of_imports()
    return Row(
        what="Powertools' share in importing the application",
        ours=Sample([_shares_of_imports() for _ in range(_IMPORTS)]),
        unit="%",
        target=at_most(10),
    )


def _shares_of_imports() -> float:
    """Powertools' share by Python's `-X importtime`: each module's own time."""
    command = [sys.executable, "-X", "importtime", "-c", "import app.main"]
    ran = subprocess.run(
        command, env=environ_of("app.main.handler"), check=True, capture_output=True, text=True
    )
    imports = noted(ran.stderr)
    powertools = [each.own for name, each in imports.items() if name.startswith(_POWERTOOLS)]
    return sum(powertools) / sum(each.own for each in imports.values()) * 100
