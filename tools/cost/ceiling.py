"""Computes the highest cost of a day, for any number of requests."""

from collections.abc import Sequence
from dataclasses import dataclass

from cost.bill import Line
from cost.options import option
from cost.prices import Prices
from cost.sizes import GB
from cost.workload import Stack

_DAY = 24 * 3600
_MILLION = 1e6

# AWS Lambda developer guide, "Function URLs": ten requests a second per unit of concurrency.
_REQUESTS_PER_SECOND = 10
# ThrottlingRateLimit in template.yaml.
_API_REQUESTS_PER_SECOND = 50
# The rate at which Lambda streams a long response (developer guide, "Response streaming").
_BYTES_PER_SECOND = 2_000_000
_REQUEST_LOG_BYTES = 440
# X-Ray's default rule.
_TRACES_PER_SECOND, _TRACED_BEYOND = 1, 0.05
# Wrong tokens make a sandbox read the secret again at most this often.
_SECRET_READ_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a deployed stack."""

    total_tokens_per_day: int = option(5_000_000, "TotalTokensPerDay; 0 is no limit")
    concurrency: int = option(
        10, "ReservedConcurrency; if that is empty, the account's quota, often 1000"
    )


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The highest cost of a day: `bounded` by limits, or `estimated` from a sandbox's capacity."""

    bounded: Sequence[Line]
    estimated: Sequence[Line]


def ceiling(limits: Limits, stack: Stack, prices: Prices) -> Ceiling:
    """Compute the highest cost of a day within these limits."""
    return Ceiling(_bounded(limits, stack, prices), _estimated(limits, stack, prices))


def _bounded(limits: Limits, stack: Stack, prices: Prices) -> Sequence[Line]:
    tokens = limits.total_tokens_per_day
    higher = max(prices.model_million_input_tokens, prices.model_million_output_tokens)
    spent = f"{tokens:,} tokens" if tokens else "no limit: TotalTokensPerDay is not set"
    gigabytes = stack.memory_mb / 1024
    gb_seconds = limits.concurrency * gigabytes * _DAY
    second = prices.gb_second(stack.architecture)
    requests = limits.concurrency * _REQUESTS_PER_SECOND * _DAY
    called = _API_REQUESTS_PER_SECOND * _DAY
    return [
        Line(
            "Model",
            f"{spent} x ${higher:g} a million, the higher price of input and output",
            tokens * higher / _MILLION if tokens else float("inf"),
        ),
        Line(
            "Lambda time",
            f"{limits.concurrency} at once x {gigabytes:g} GB x {_DAY} s x ${second:.10g}",
            gb_seconds * second,
        ),
        Line(
            "Lambda requests",
            f"{limits.concurrency} at once x {_REQUESTS_PER_SECOND}/s x {_DAY} s x "
            f"${prices.lambda_million_requests:g} a million",
            requests * prices.lambda_million_requests / _MILLION,
        ),
        Line(
            "API Gateway",
            f"{_API_REQUESTS_PER_SECOND}/s x {_DAY} s x ${prices.api_million_requests:g} a million",
            called * prices.api_million_requests / _MILLION,
        ),
    ]


def _estimated(limits: Limits, stack: Stack, prices: Prices) -> Sequence[Line]:
    writing = 1 / (stack.call_seconds + stack.flush_interval)
    writes = limits.concurrency * writing * _DAY
    sent = limits.concurrency * _BYTES_PER_SECOND * _DAY / GB
    rate = limits.concurrency * _REQUESTS_PER_SECOND
    logged = rate * _DAY * _REQUEST_LOG_BYTES / GB
    traced = min(rate, _TRACES_PER_SECOND + rate * _TRACED_BEYOND) * _DAY
    leaving = prices.transfer_gb + prices.lambda_streamed_gb
    read = limits.concurrency * _DAY / _SECRET_READ_SECONDS
    return [
        Line(
            "DynamoDB writes",
            f"{limits.concurrency} writers x {writing:.1f}/s x {_DAY} s x "
            f"${prices.dynamodb_million_writes:g} a million",
            writes * prices.dynamodb_million_writes / _MILLION,
        ),
        Line(
            "Data to the internet",
            f"{limits.concurrency} readers of stored answers x 2 MB/s x {_DAY} s = "
            f"{sent:,.0f} GB x ${leaving:g}",
            sent * leaving,
        ),
        Line(
            "CloudWatch Logs",
            f"{rate} requests/s x {_DAY} s x {_REQUEST_LOG_BYTES} bytes = {logged:.2f} GB x "
            f"${prices.logs_gb:g}",
            logged * prices.logs_gb,
        ),
        Line(
            "X-Ray traces",
            f"{traced:,.0f} sampled x ${prices.million_traces:g} a million",
            traced * prices.million_traces / _MILLION,
        ),
        Line(
            "Secret reads",
            f"{limits.concurrency} sandboxes x one a minute, caused by wrong tokens, x {_DAY} s x "
            f"${prices.secret_ten_thousand_reads:g} for 10,000",
            read * prices.secret_ten_thousand_reads / 10_000,
        ),
    ]
