"""The prices of AWS and of the model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from cost.options import option


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Prices in US dollars, without free tiers and discounts; each name ends in the unit sold.

    The defaults are the prices of one region on one day, as far as known. docs/costs.md names the
    source of each.
    """

    region: str = option("us-east-1", "the region of the prices")
    as_of: str = option("2026-11-22", "the day of the prices")
    lambda_million_requests: float = option(0.20, "Lambda: a million requests")
    lambda_gb_second_arm64: float = option(0.0000133334, "Lambda: a GB-second on arm64")
    lambda_gb_second_x86_64: float = option(0.0000166667, "Lambda: a GB-second on x86_64")
    lambda_streamed_gb: float = option(0.008, "Lambda: a GB streamed beyond 6 MB of a response")
    dynamodb_million_writes: float = option(0.625, "DynamoDB: a million write units, on demand")
    dynamodb_million_reads: float = option(0.125, "DynamoDB: a million read units, on demand")
    dynamodb_gb_month: float = option(0.25, "DynamoDB: a GB stored for a month")
    dynamodb_backup_gb_month: float = option(0.20, "DynamoDB: a GB of recovery for a month")
    api_million_requests: float = option(3.50, "API Gateway: a million requests of REST APIs")
    transfer_gb: float = option(0.09, "a GB sent to the internet")
    logs_gb: float = option(0.50, "CloudWatch: a GB of log lines")
    million_traces: float = option(5.00, "X-Ray: a million traces")
    metric_month: float = option(0.30, "CloudWatch: a custom metric for a month")
    alarm_month: float = option(0.10, "CloudWatch: a metric of an alarm for a month")
    dashboard_month: float = option(3.00, "CloudWatch: a dashboard for a month")
    secret_month: float = option(0.40, "Secrets Manager: a secret for a month")
    secret_ten_thousand_reads: float = option(0.05, "Secrets Manager: ten thousand calls")
    model_million_input_tokens: float = option(0.0, "the model: a million input tokens")
    model_million_output_tokens: float = option(0.0, "the model: a million output tokens")

    def gb_second(self, architecture: str) -> float:
        """Return Lambda's price of a GB-second on this processor."""
        arm64, x86_64 = self.lambda_gb_second_arm64, self.lambda_gb_second_x86_64
        return {"arm64": arm64, "x86_64": x86_64}[architecture]


def read(path: Path) -> Mapping[str, object]:
    """Read a JSON object with some of `Prices`' fields; raises ValueError."""
    found = json.loads(path.read_text())
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object of prices")  # noqa: TRY004
    known = {each.name: type(each.default) for each in fields(Prices)}
    for name, price in found.items():
        if name not in known:
            raise ValueError(f"{path}: unknown price {name!r}: use one of {', '.join(known)}")
        if not isinstance(price, (known[name], int)) or isinstance(price, bool):
            raise ValueError(f"{path}: {name} must be a {known[name].__name__}")  # noqa: TRY004
    if found.keys().isdisjoint({"region", "as_of"}):
        raise ValueError(f"{path}: add the `region` of the prices, or `as_of`, their day")
    return found
