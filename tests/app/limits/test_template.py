"""The limits in template.yaml and observability.yaml."""

import re

import pytest

from app.limits.settings import Limits
from tests.stack import Stack

pytestmark = pytest.mark.sam


def limits_of(stack: Stack) -> Limits:
    return Limits.from_environ({name: str(value) for name, value in stack.variables.items()})


def test_limits_are_set_unless_they_are_taken_away(stack: Stack) -> None:
    unlimited = stack.with_parameters(
        RequestsPerMinute="",
        ConnectsPerMinute="",
        StreamConnectsPerMinute="",
        TokensPerDay="",
        TotalTokensPerDay="",
    )

    assert limits_of(stack) == Limits(
        requests_per_minute=60,
        connects_per_minute=600,
        stream_connects_per_minute=60,
        tokens_per_day=1_000_000,
        total_tokens_per_day=5_000_000,
    )
    assert limits_of(unlimited) == Limits()


def test_it_may_change_only_its_counters(stack: Stack) -> None:
    counters = stack.statements["CountAgainstTheLimits"]

    assert counters["Resource"] == {"Fn::GetAtt": ["StreamTable", "Arn"]}
    assert counters["Action"] == "dynamodb:UpdateItem"
    # ForAllValues also holds for a request that names no key.
    assert counters["Condition"] == {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": "limit:*"},
        "Null": {"dynamodb:LeadingKeys": "false"},
    }


@pytest.mark.parametrize(
    "name",
    [
        "RequestsPerMinute",
        "ConnectsPerMinute",
        "StreamConnectsPerMinute",
        "TokensPerDay",
        "TotalTokensPerDay",
    ],
)
def test_a_limit_that_cannot_work_is_refused(stack: Stack, name: str) -> None:
    pattern = stack.template["Parameters"][name]["AllowedPattern"]

    assert all(re.fullmatch(pattern, value) for value in ("", "0", "60"))
    assert not [value for value in ("-1", "1.5", "many") if re.fullmatch(pattern, value)]


def test_an_hour_that_costs_too_many_tokens_raises_an_alarm(stack: Stack) -> None:
    alarm = stack.with_parameters(AlarmTokensPerHour="1000").alarms["SpendingIsHigh"]

    assert (alarm["MetricName"], alarm["Statistic"], alarm["Period"]) == (
        "TokensSpent",
        "Sum",
        3600,
    )
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    assert alarm["Threshold"] == "1000"
