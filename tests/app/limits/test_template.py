# ruff: noqa: F811 - pytest hands a fixture over by its name
"""The limits that template.yaml sets."""

import pytest

from app.limits.settings import Limits
from tests.stack import Stack
from tests.test_template import stack, transformed  # noqa: F401 - its fixtures

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
