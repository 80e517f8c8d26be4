"""The cost of a real provider over the demo: in a cold start, a request, and every delta.

The model is on this machine and answers at once. The times of a request and a delta are compared
with those of the library underneath, used as its documentation shows: httpx with httpx-sse, or
boto3. The difference is ours.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.providers import PROVIDERS
from local.environment import CREDENTIALS, REGION
from proof.bench.canned_model import serving
from proof.bench.processes import ROOT, SRC, sandbox
from proof.bench.samples import Sample, in_turns
from proof.bench.table import Row, at_most

_STARTS = 9
_ASKERS = 5
_REQUESTS = 50
_DELTAS = 5_000

TITLE = "Providers, against a model on this machine that answers at once"

Pairs = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Asker:
    """One asking process: the milliseconds of its first request, and pairs of ours, theirs.

    `waits` are milliseconds to a first delta, `costs` microseconds of processor a delta.
    """

    first: float
    waits: Pairs
    costs: Pairs


def rows() -> Iterator[Row]:
    """Cold start, the first request, any request, any delta."""
    with serving() as url:
        settings = _settings(url)
        yield from _cold_starts(settings)
        for name in settings:
            yield from _requests(name, settings[name])


def _settings(url: str) -> dict[str, dict[str, str]]:
    """A sandbox's variables for each listed provider whose API the canned model speaks."""
    own = {
        "openai": {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "bench"},
        "anthropic": {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "bench"},
        "bedrock": {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": url},
    }
    common = {"MODELS": "bench.model", "MODEL_URL": url}
    listed = [each.name for each in PROVIDERS if each.name in own]
    return {name: {"PROVIDER": name, **common, **own[name]} for name in listed}


def _cold_starts(settings: Mapping[str, Mapping[str, str]]) -> Iterator[Row]:
    environs: list[Mapping[str, str]] = [{"PROVIDER": "demo"}, *settings.values()]
    for environ in environs:
        _polled(environ)
    demo, *others = in_turns(_STARTS, *(lambda e=environ: _polled(e) for environ in environs))
    for name, polled in zip(settings, others, strict=True):
        yield Row(
            what=f"{name}: process start to the first /next",
            ours=Sample(polled),
            theirs=Sample(demo),
            unit="ms",
            against="demo",
        )


def _polled(environ: Mapping[str, str]) -> float:
    with sandbox("app.main.handler", environ) as started:
        return (started.polled_at - started.started_at) * 1e3


def _requests(name: str, environ: Mapping[str, str]) -> Iterator[Row]:
    askers = [_asker(name, environ) for _ in range(_ASKERS)]
    yield Row(
        what=f"{name}: a sandbox's first request",
        ours=Sample([asker.first for asker in askers]),
        unit="ms",
    )
    yield from _compared(f"{name}: time to a first delta", [a.waits for a in askers], "ms", 2)
    yield from _compared(f"{name}: processor time a delta", [a.costs for a in askers], "µs", 50)


def _compared(what: str, measured: Sequence[Pairs], unit: str, limit: float) -> Iterator[Row]:
    """Compare with the library's own; the limit is for the difference. Medians of processes."""
    ours = [statistics.median(pair[0] for pair in pairs) for pairs in measured]
    theirs = [statistics.median(pair[1] for pair in pairs) for pairs in measured]
    added = [a - b for a, b in zip(ours, theirs, strict=True)]
    yield Row(
        what=what, ours=Sample(ours), theirs=Sample(theirs), unit=unit, against="its library alone"
    )
    yield Row(what=f"{what}, added", ours=Sample(added), unit=unit, target=at_most(limit))


def _asker(name: str, environ: Mapping[str, str]) -> _Asker:
    command = [sys.executable, "-m", "proof.bench.functions.asking", name]
    base = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{SRC}:{ROOT}",
        "AWS_DEFAULT_REGION": REGION,
        **CREDENTIALS,
    }
    done = subprocess.run(
        [*command, str(_REQUESTS), str(_DELTAS)],
        env={**base, **environ},
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return _Asker(**found)
