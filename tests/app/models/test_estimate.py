"""The most that a request may cost."""

from app.models.base import Message, Request
from app.models.estimate import at_most


def test_a_request_may_cost_every_byte_of_its_text_its_messages_and_the_longest_answer() -> None:
    request = Request(
        messages=(Message("user", "x" * 12), Message("user", "日本")),
        model="any",
        max_tokens=100,
        system="y" * 12,
    )

    assert at_most(request) == 12 + 6 + 12 + 3 * 16 + 100
