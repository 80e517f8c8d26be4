"""The strategy of logs: what it makes is what the engine might have written."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from app.events import REGISTRY, Start
from durable_stream import Cancelled, Claim, Event, Handoff, History, Record, Reset
from tests.wires.logs import batches, logs


@given(logs())
def test_a_log_begins_with_its_start_and_nothing_follows_its_end(log: list[Record]) -> None:
    assert isinstance(log[0].event, Start)
    assert [record.seq for record in log] == list(range(len(log)))
    assert not any(record.terminal for record in log[:-1])


@given(logs())
def test_only_a_claim_or_a_cancelling_follows_a_hand_over_and_a_writer_begins_with_a_claim(
    log: list[Record],
) -> None:
    for before, record in pairwise(log):
        if isinstance(before.event, Handoff):
            assert isinstance(record.event, Claim | Cancelled)
        if record.writer != before.writer:
            assert isinstance(record.event, Claim)


@given(logs())
def test_the_whole_work_starts_over_only_behind_a_claim(log: list[Record]) -> None:
    for before, record in pairwise(log):
        if isinstance(record.event, Reset) and not record.event.within:
            assert isinstance(before.event, Claim)


@given(logs())
def test_attempts_are_counted_from_1(log: list[Record]) -> None:
    claims = [record.event.attempt for record in log if isinstance(record.event, Claim)]
    first = 2 if log[0].writer else 1
    assert claims == list(range(first, first + len(claims)))
    assert History.of(log).attempts == len(claims) + (first == 2)


@given(st.data(), logs())
def test_batches_add_up_to_the_log(data: st.DataObject, log: list[Record]) -> None:
    cut = data.draw(batches(log))
    assert [record for batch in cut for record in batch] == log


@given(logs(complete=True))
def test_a_complete_log_has_an_end(log: list[Record]) -> None:
    assert log[-1].terminal


@given(logs(complete=False))
def test_an_incomplete_log_has_none(log: list[Record]) -> None:
    assert not log[-1].terminal


@pytest.mark.parametrize("kind", [*REGISTRY.kinds, "note", "aside"])
def test_every_kind_comes(kind: str) -> None:
    assert an_example_with(kind_of(kind))


def test_resets_within_a_step_come() -> None:
    assert an_example_with(lambda event: isinstance(event, Reset) and bool(event.within))


def kind_of(kind: str) -> Callable[[Event], bool]:
    return lambda event: event.kind == kind


def an_example_with(condition: Callable[[Event], bool]) -> list[Record]:
    """A log with such an event; raises NoSuchExample if there is none among many."""
    return find(
        logs(),
        lambda log: any(condition(record.event) for record in log),
        settings=settings(
            max_examples=1_000, database=None, derandomize=True, phases=[Phase.generate]
        ),
    )
