"""The limits in the environment, and the messages for wrong ones."""

import pytest

from app.limits.settings import Limits


def test_nothing_is_limited_that_has_no_limit() -> None:
    empty = {"REQUESTS_PER_MINUTE": "", "TOKENS_PER_DAY": " "}

    assert Limits.from_environ(empty) == Limits()


def test_limits_are_whole_numbers() -> None:
    names = {"REQUESTS_PER_MINUTE": "0", "TOKENS_PER_DAY": "5", "TOTAL_TOKENS_PER_DAY": "50"}
    names |= {"CONNECTS_PER_MINUTE": "600", "STREAM_CONNECTS_PER_MINUTE": "60"}

    assert Limits.from_environ(names) == Limits(
        requests_per_minute=0,
        connects_per_minute=600,
        stream_connects_per_minute=60,
        tokens_per_day=5,
        total_tokens_per_day=50,
    )


@pytest.mark.parametrize(
    "name", ["REQUESTS_PER_MINUTE", "STREAM_CONNECTS_PER_MINUTE", "TOKENS_PER_DAY"]
)
@pytest.mark.parametrize("text", ["-1", "1.5", "1e3", "many"])
def test_anything_else_is_a_mistake(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits.from_environ({name: text})
