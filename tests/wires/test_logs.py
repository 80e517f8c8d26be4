"""The strategy of logs: what it makes is what the engine might have written."""

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from app.events import Done, Start
from durable_stream import Cancelled, Claim, Failed, Handoff, History, Record, Reset
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


def test_every_kind_comes_and_so_do_resets_within_a_step() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=200, database=None, derandomize=True)
    @given(logs())
    def count(log: list[Record]) -> None:
        for record in log:
            event = record.event
            seen[event.kind] += 1
            seen["reset within"] += isinstance(event, Reset) and bool(event.within)

    count()
    assert seen.keys() >= {
        *("start", "claim", "heartbeat", "handoff", "reset", "reset within", "step", "step_end"),
        *("thinking", "answer", "tool_call", "tool_result", "progress", "data", "source"),
        *("note", "aside", Done.kind, Failed.kind, Cancelled.kind),
    }
    assert min(seen.values()) > 0, seen
