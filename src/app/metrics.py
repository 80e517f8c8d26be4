"""Metrics: log lines in CloudWatch's Embedded Metric Format, never one for each event.

Every line stands alone. Powertools' `Metrics` collects the values of one invocation at a time in
attributes of its class, but here many streams may end in one process at once.

Metrics are off with `POWERTOOLS_METRICS_DISABLED`, and under SAM CLI.
"""

import os
from collections.abc import Mapping, Sequence

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from aws_lambda_powertools.metrics.functions import is_metrics_disabled

from app.events import Done
from app.log import logger
from durable_stream import Cancelled, Event, Failed, Handoff, History, Hooks, Outcome

NAMESPACE = "LLMStream"

UNITS = {
    "ColdStart": MetricUnit.Count,
    "TimeToFirstToken": MetricUnit.Milliseconds,
    "TokensPerSecond": MetricUnit.CountPerSecond,
    "InputTokens": MetricUnit.Count,
    "OutputTokens": MetricUnit.Count,
    "Appends": MetricUnit.Count,
    "AppendLatency": MetricUnit.Milliseconds,
    "Resumes": MetricUnit.Count,
    "Takeovers": MetricUnit.Count,
    "Handovers": MetricUnit.Count,
    "Cancels": MetricUnit.Count,
    "Errors": MetricUnit.Count,
    "Refusals": MetricUnit.Count,
    "TokensSpent": MetricUnit.Count,
}

_ONCE = (1,)
_EACH_MINUTE = 60


def started() -> None:
    """Count a sandbox."""
    _write({"ColdStart": _ONCE})


class Metrics(Hooks):
    """Counts the work of the engine."""

    def resumed(self) -> None:
        """Count a reader that came back."""
        _write({"Resumes": _ONCE})

    def took_over(self) -> None:
        """Count a take-over when it happens: a writer that dies later can report nothing."""
        _write({"Takeovers": _ONCE})

    async def ended(self, before: History, end: Event, outcome: Outcome | None) -> None:
        """Count a stream that was cancelled or given up; a writer's own end is in its outcome."""
        del before
        if isinstance(end, Cancelled):
            _write({"Cancels": _ONCE})
        elif isinstance(end, Failed) and outcome is None:
            failed(end.code)

    def wrote(self, outcome: Outcome) -> None:
        """Report the work of one writer."""
        values: dict[str, Sequence[float]] = {
            "Appends": [outcome.appends],
            "AppendLatency": [_milliseconds(latency) for latency in outcome.append_latencies],
        }
        # On a later attempt this would measure from the last failure, not from the request.
        if outcome.attempt == 1 and outcome.first_progress is not None:
            values["TimeToFirstToken"] = [_milliseconds(outcome.first_progress)]
        match outcome.end:
            case Done(_, input_tokens, output_tokens):
                values["InputTokens"] = [] if input_tokens is None else [input_tokens]
                values["OutputTokens"] = [] if output_tokens is None else [output_tokens]
                values["TokensPerSecond"] = _pace(outcome, output_tokens)
            case Handoff():
                values["Handovers"] = _ONCE
            case Failed(code):
                failed(code)
            case _:
                pass
        _write(values)


def spent(tokens: int) -> None:
    """Count the cost of a stream that has ended, in tokens."""
    _write({"TokensSpent": [tokens]})


def failed(code: str) -> None:
    """Count an answer, or a request, that ended in an error of ours or of the model."""
    _write({"Errors": _ONCE}, code)


def refused(code: str) -> None:
    """Count a request over a limit."""
    _write({"Refusals": _ONCE}, code)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)


def _pace(outcome: Outcome, output_tokens: int | None) -> Sequence[float]:
    """Tokens a second after the first; none where the count is not that of the measured time.

    A model that was asked again reports the tokens of its last answer only.
    """
    if output_tokens is None or outcome.claims or not outcome.producing:
        return ()
    return [round((output_tokens - 1) / outcome.producing, 2)]


def _write(values: Mapping[str, Sequence[float]], code: str | None = None) -> None:
    """Write a line for the service, and for the service and the code if there is one."""
    if is_metrics_disabled() or "AWS_SAM_LOCAL" in os.environ:
        return
    # Not by `add_metric`, which formats all values of a metric again with each that it adds.
    metric_set = {
        name: {
            "Unit": UNITS[name].value,
            "StorageResolution": _EACH_MINUTE,
            "Value": list(each),
        }
        for name, each in values.items()
        if each
    }
    line = EphemeralMetrics(namespace=NAMESPACE, service=logger.service, metric_set=metric_set)
    if code is not None:
        line.add_dimensions(service=logger.service, code=code)
    line.flush_metrics()
