"""The bill: usage times price, one line for everything that is billed."""

from collections.abc import Sequence
from dataclasses import dataclass

from cost.prices import Prices
from cost.sizes import GB
from cost.usage import Usage
from cost.workload import Answer, Stack

_MILLION = 1e6
_DAYS_IN_MONTH = 30.4

# Counted in observability.yaml and app.metrics. Every error code that occurs adds a metric.
METRICS = 14
ALARM_METRICS = 7
DASHBOARDS = 1
_ERROR_CODES = 3


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill; `how` is its formula with its numbers."""

    what: str
    how: str
    dollars: float


@dataclass(frozen=True, slots=True)
class Bill:
    """The lines of one answer, and the fixed lines of a month."""

    answer: Sequence[Line]
    month: Sequence[Line]

    @property
    def dollars(self) -> float:
        """The cost of an answer."""
        return total(self.answer)


def total(lines: Sequence[Line]) -> float:
    """Return the sum of the lines in dollars."""
    return sum(line.dollars for line in lines)


def bill(answer: Answer, stack: Stack, used: Usage, prices: Prices) -> Bill:
    """Make the bill of an answer with this usage."""
    lines = [
        *_lambda(answer, stack, used, prices),
        *_dynamodb(stack, used, prices),
        *_network(stack, used, prices),
        *_observation(stack, used, prices),
        *_model(answer, prices),
    ]
    return Bill(lines, _month(prices))


def _line(what: str, how: str, quantity: float, price: float, *, per: float = 1) -> Line:
    unit = " a million" if per == _MILLION else ""
    return Line(what, f"{how} x ${price:.10g}{unit}", quantity * price / per)


def _lambda(answer: Answer, stack: Stack, used: Usage, prices: Prices) -> Sequence[Line]:
    opening = used.requests - (answer.readers - 1) - answer.reconnects - answer.snapshots
    talking = f"{answer.first_token_seconds:g} + {answer.output_tokens - 1} / "
    talking += f"{answer.tokens_per_second:g} to the last token"
    others = used.seconds - answer.first_token_seconds - answer.speaking_seconds
    gigabytes = stack.memory_mb / 1024
    return [
        _line(
            "Lambda requests",
            f"{opening:g} to create and read + {answer.readers - 1} other readers + "
            f"{answer.reconnects:g} reconnects + {answer.snapshots:g} snapshots = "
            f"{used.requests:.2f}",
            used.requests,
            prices.lambda_million_requests,
            per=_MILLION,
        ),
        _line(
            f"Lambda time, {stack.architecture}",
            f"({talking} + {others:.2f} calls, other readers + {used.cold_seconds:.2f} cold starts)"
            f" s x {gigabytes:g} GB = {used.gb_seconds:.3f} GB-s",
            used.gb_seconds,
            prices.gb_second(stack.architecture),
        ),
        _line(
            "Lambda streaming",
            f"{used.response_bytes:,.0f} bytes per response, the first 6 MB are free = "
            f"{used.streamed_beyond_free_bytes / GB:.3g} GB",
            used.streamed_beyond_free_bytes / GB,
            prices.lambda_streamed_gb,
        ),
    ]


def _dynamodb(stack: Stack, used: Usage, prices: Prices) -> Sequence[Line]:
    others = used.records - used.text_records - used.heartbeats
    beats = "1 heartbeat" if used.heartbeats == 1 else f"{used.heartbeats} heartbeats"
    gb_months = used.stored_bytes / GB * stack.kept_days / _DAYS_IN_MONTH
    stored = f"{used.stored_bytes:,.0f} bytes x {stack.kept_days:g} of {_DAYS_IN_MONTH:g} days"
    backed_up = prices.dynamodb_backup_gb_month if stack.recoverable else 0.0
    return [
        _line(
            "DynamoDB writes",
            f"{used.text_records} text + {beats} + {others} others, in started"
            f" KB: {used.record_units}; + {used.counter_units:g} for limits = "
            f"{used.write_units} units",
            used.write_units,
            prices.dynamodb_million_writes,
            per=_MILLION,
        ),
        _line(
            "DynamoDB reads",
            f"{used.consistent_units:.2f} consistent + {used.polls:.1f} polls x 0.5 + "
            f"{used.snapshot_units:g} snapshots = {used.read_units:.1f} units",
            used.read_units,
            prices.dynamodb_million_reads,
            per=_MILLION,
        ),
        _line("DynamoDB storage", stored, gb_months, prices.dynamodb_gb_month),
        _line("DynamoDB recovery", stored, gb_months, backed_up),
        Line("DynamoDB expiry", "records expire by TTL, which is free", 0.0),
    ]


def _network(stack: Stack, used: Usage, prices: Prices) -> Sequence[Line]:
    gateway = "the function URL costs nothing"
    if stack.door == "rest":
        gateway = f"{used.api_requests:.2f} requests, one more for each started 10 MB"
    return [
        _line(
            "API Gateway",
            gateway,
            used.api_requests,
            prices.api_million_requests,
            per=_MILLION,
        ),
        _line(
            "Data to the internet",
            f"{used.sent_bytes:,.0f} bytes = {used.sent_bytes / GB:.3g} GB",
            used.sent_bytes / GB,
            prices.transfer_gb,
        ),
    ]


def _observation(stack: Stack, used: Usage, prices: Prices) -> Sequence[Line]:
    return [
        _line(
            "CloudWatch Logs",
            f"{used.log_bytes:,.0f} bytes = {used.log_bytes / GB:.3g} GB",
            used.log_bytes / GB,
            prices.logs_gb,
        ),
        _line(
            "X-Ray traces",
            f"{used.requests:.2f} requests x {stack.traced:g} sampled",
            used.traces,
            prices.million_traces,
            per=_MILLION,
        ),
    ]


def _model(answer: Answer, prices: Prices) -> Sequence[Line]:
    return [
        _line(
            "Model, reading",
            f"{answer.input_tokens} tokens",
            answer.input_tokens,
            prices.model_million_input_tokens,
            per=_MILLION,
        ),
        _line(
            "Model, writing",
            f"{answer.output_tokens} tokens",
            answer.output_tokens,
            prices.model_million_output_tokens,
            per=_MILLION,
        ),
    ]


def _month(prices: Prices) -> Sequence[Line]:
    metrics = METRICS + _ERROR_CODES
    counted = f"{METRICS} metrics + {_ERROR_CODES} error codes"
    return [
        _line("Custom metrics", counted, metrics, prices.metric_month),
        _line("Alarms", f"{ALARM_METRICS} metrics watched", ALARM_METRICS, prices.alarm_month),
        _line("Dashboard", f"{DASHBOARDS}", DASHBOARDS, prices.dashboard_month),
        _line("Secrets", "API tokens + the model's key = 2", 2, prices.secret_month),
    ]
