"""The judges find what they are there for."""

from collections.abc import Sequence
from typing import Any

import pytest

from durable_stream.step_keys import idempotency_key
from tests.event_source import Event
from tests.examples.judging import assert_like, assert_steps_once, assert_told_once
from tests.examples.killing import Run
from tests.examples.ledger import Effect

STREAM = "s" * 32
KEY = idempotency_key(STREAM, "book:1")


def said(*events: tuple[str, dict[str, Any]]) -> list[Event]:
    return [Event(f"{STREAM}:{seq}", name, data, at=seq) for seq, (name, data) in enumerate(events)]


EVENTS = said(
    ("start", {}),
    ("claim", {"attempt": 1}),
    ("step", {"name": "book", "step": "book:1"}),
    ("answer", {"text": "lost", "step": "book:1"}),
    ("claim", {"attempt": 2}),
    ("reset", {"step": "book:1"}),
    ("answer", {"text": "booked", "step": "book:1"}),
    ("step_end", {"failed": False, "step": "book:1"}),
    ("done", {}),
)


def run(*readers: Sequence[Event], attempts: Sequence[int] = (1, 2), answer: str = "booked") -> Run:
    effects = [Effect(KEY, attempt) for attempt in attempts]
    return Run(readers or (EVENTS, EVENTS), {"answer": answer}, effects)


@pytest.mark.parametrize("attempts", [(1, 2), (2,), (2, 1)])
def test_a_step_may_be_at_work_in_the_attempt_of_its_end_and_once_in_each_before(
    attempts: Sequence[int],
) -> None:
    assert_steps_once(run(attempts=attempts))
    assert_like(run(), run())


@pytest.mark.parametrize("attempts", [(), (1,), (1, 2, 2), (1, 2, 3)])
def test_other_work_of_a_step_is_found(attempts: Sequence[int]) -> None:
    with pytest.raises(AssertionError):
        assert_steps_once(run(attempts=attempts))


@pytest.mark.parametrize(
    "reader",
    [EVENTS[:3] + EVENTS[4:], [*EVENTS[:3], *EVENTS[2:]], EVENTS[:-1], said(*[("start", {})] * 9)],
    ids=["gap", "twice", "no end", "something else"],
)
def test_a_reader_that_saw_something_else_is_found(reader: list[Event]) -> None:
    with pytest.raises(AssertionError):
        assert_told_once(run(EVENTS, reader))


def test_another_answer_is_found() -> None:
    other = said(*[(event.name, event.data) for event in EVENTS if event.name != "reset"])

    with pytest.raises(AssertionError):
        assert_told_once(run(answer="lostbooked"))
    with pytest.raises(AssertionError):
        assert_like(run(other, answer="lostbooked"), run())
