"""Only an interruption is measured as one, from its beginning to its end."""

from collections.abc import Mapping, Sequence

import pytest

from proof.chaos.figures import (
    Sample,
    calls,
    hand_over_gaps,
    resume_latencies,
    take_over_times,
    tokens,
)
from proof.chaos.reader import Told
from proof.chaos.traffic import Traffic
from tests.event_source import Event

STREAM = "s" * 32
DEAD, NEXT = 11, 12


def told(
    events: Sequence[tuple[str, float]], connected_at: Sequence[tuple[float, int]] = ()
) -> Told:
    """A reader that received these kinds at these times."""
    return Told(
        events=[Event(f"{STREAM}:{seq}", name, {}, at) for seq, (name, at) in enumerate(events)],
        connected_at=list(connected_at),
    )


def traffic(
    stood_at: Sequence[float],
    *,
    writers: Sequence[int] = (),
    killed: Sequence[tuple[str, int, float]] = (),
) -> Traffic:
    """Records that stood at these times, put by these processes."""
    return Traffic(
        stood_at={(STREAM, seq): at for seq, at in enumerate(stood_at)},
        writers={(STREAM, seq): pid for seq, pid in enumerate(writers)},
        killed=list(killed),
    )


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "none"),
        (1, "p50 1.00, max 1.00, n 1"),
        (99, "p50 50.00, max 99.00, n 99"),
        (100, "p50 50.50, p99 99.01, n 100"),
    ],
)
def test_a_99th_hundredth_is_shown_of_a_hundred_measurements_or_more(
    number: int, shown: str
) -> None:
    assert str(Sample([float(value) for value in range(1, number + 1)])) == shown


def test_a_resume_is_measured_once_from_the_first_connect_behind_the_missed_event() -> None:
    reader = told([("start", 1.0), ("answer", 9.5)], [(0.5, 0), (3.0, 1), (6.0, 1), (9.0, 1)])

    assert list(resume_latencies(reader, traffic([0.9, 2.0]))) == [6.5]
    assert list(resume_latencies(reader, traffic([0.9, 7.0]))) == [0.5]


def test_an_event_that_was_not_there_yet_when_the_reader_came_back_is_no_resume() -> None:
    reader = told([("start", 1.0), ("answer", 9.5)], [(0.5, 0), (3.0, 1)])

    assert list(resume_latencies(reader, traffic([0.9, 9.0]))) == []


def test_a_take_over_lasts_from_the_kill_to_the_next_writers_first_token() -> None:
    reader = told([("start", 1.0), ("answer", 2.0), ("claim", 6.0), ("answer", 6.5)])
    seen = traffic(
        [0.9, 1.9, 5.9, 6.4], writers=[DEAD, DEAD, NEXT, NEXT], killed=[(STREAM, DEAD, 2.5)]
    )

    assert list(take_over_times(reader, seen)) == [4.0]


def test_a_record_that_stood_before_the_kill_and_is_told_behind_it_is_no_take_over() -> None:
    reader = told([("start", 1.0), ("answer", 7.0), ("claim", 7.0), ("answer", 7.5)])
    seen = traffic(
        [0.9, 1.9, 5.9, 7.4], writers=[NEXT, NEXT, DEAD, NEXT], killed=[(STREAM, DEAD, 6.5)]
    )

    assert list(take_over_times(reader, seen)) == [1.0]


def test_the_kill_of_one_who_was_not_the_writer_any_more_is_no_interruption() -> None:
    reader = told([("start", 1.0), ("claim", 2.0), ("answer", 3.0)])
    seen = traffic([0.9, 1.9, 2.9], writers=[DEAD, NEXT, NEXT], killed=[(STREAM, DEAD, 2.5)])

    assert list(take_over_times(reader, seen)) == []


def test_a_hand_over_lasts_to_the_next_token_of_a_reader_who_left_with_it() -> None:
    kinds = [("start", 1.0), ("handoff", 2.0), ("claim", 3.0), ("answer", 3.5)]

    assert list(hand_over_gaps(told(kinds, [(0.5, 0), (2.5, 2)]))) == [1.5]
    assert list(hand_over_gaps(told(kinds, [(5.0, 0)]))) == [], "it was replayed"


def test_calls_are_the_mean_of_all_answers() -> None:
    counted: Mapping[str, float] = calls(
        [Traffic(calls={"PutItem": 3}), Traffic(calls={"PutItem": 4, "Query": 1})]
    )

    assert counted == {"PutItem": 3.5, "Query": 0.5}


def test_an_answers_tokens_are_those_its_end_tells() -> None:
    done = Event(f"{STREAM}:1", "done", {"usage": {"output_tokens": 7}}, 0.0)

    assert tokens([done]) == 7
