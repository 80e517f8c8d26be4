"""What a request may cost, and what an answer did."""

import pytest

from app.limits.estimate import Spending, at_most, spent
from app.providers.base import Message, Request

# 30 bytes of text: 10 tokens to ask.
REQUEST = Request(
    messages=(Message("user", "x" * 12), Message("user", "日本")),
    model="any",
    max_tokens=100,
    system="y" * 12,
)


def test_a_request_may_cost_its_own_text_and_the_longest_answer() -> None:
    assert at_most(REQUEST) == 10 + 100


@pytest.mark.parametrize(
    ("spending", "tokens"),
    [
        (Spending(attempts=1, earlier=0, latest=90, reported=25), 25),
        (Spending(attempts=1, earlier=0, latest=90), 10 + 30),
        (Spending(attempts=0, earlier=0, latest=0), 0),
        (Spending(attempts=2, earlier=60, latest=90, reported=45), 10 + 20 + 45),
        (Spending(attempts=2, earlier=60, latest=31), 10 + 20 + 10 + 11),
    ],
    ids=["reported", "estimated", "never asked", "continued", "continued and cut"],
)
def test_an_answer_costs_what_is_reported_and_else_what_its_text_suggests(
    spending: Spending, tokens: int
) -> None:
    assert spent(REQUEST, spending) == tokens
