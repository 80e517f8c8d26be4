"""Verdicts on made-up measurements, for paths that cannot be built on this machine."""

import dataclasses

import pytest

from probe.events import Arrival, Event
from probe.measurements import Ending, Measurements, Read, Resumption, Sample, Streaming
from probe.verdict import Path, Verdict, judge

EVENT_BYTES = 100
SENT = Event("s:0", "answer", "{}")


def streaming(batches: list[tuple[float, int]], in_log: list[tuple[float, int]]) -> Streaming:
    """An answer, from the events that arrived and those in the event log, as (time, count)."""
    times = [at for at, count in batches for _ in range(count)]
    arrivals = [
        Arrival(Event(f"s:{seq}", "answer", "{}"), EVENT_BYTES, at) for seq, at in enumerate(times)
    ]
    return Streaming(
        began=0.0,
        reads=[Read(1, count * EVENT_BYTES, at) for at, count in batches],
        arrivals=arrivals,
        samples=[Sample(at, count - 1) for at, count in in_log],
        ended=True,
    )


def verdict_on(
    answer: Streaming, *, ending: Ending | None = None, resumption: Resumption | None = None
) -> Verdict:
    return judge(
        Measurements(
            round_trips=[0.1, 0.1],
            streaming=answer,
            endings=[ending or Ending("no body", 204, 0.1, reused=True)],
            resumption=resumption or Resumption([SENT], [], [SENT]),
        )
    )


STREAMS = streaming([(n / 10, 1) for n in range(1, 50)], [(n / 2, 5 * n) for n in range(1, 9)])


def test_a_path_whose_events_arrive_as_they_are_logged_streams() -> None:
    verdict = verdict_on(STREAMS)

    assert verdict.path is Path.STREAMS
    assert verdict.good


def test_a_slow_model_is_not_taken_for_a_path_that_holds_back() -> None:
    slow = streaming([(5.0 * n, 1) for n in range(1, 6)], [(n, n // 5) for n in range(5, 25)])

    assert verdict_on(slow).path is Path.STREAMS


def test_one_short_delay_is_not_taken_for_a_path_that_holds_back() -> None:
    delayed = streaming([(0.1, 1), (2.0, 9), (2.1, 1)], [(0.1, 1), (0.5, 5), (2.0, 10), (2.1, 11)])

    assert verdict_on(delayed).path is Path.STREAMS


def test_an_answer_that_ends_too_soon_leaves_the_verdict_open() -> None:
    verdict = verdict_on(streaming([(0.1, 1), (1.0, 30)], [(0.2, 3), (0.6, 20), (1.5, 31)]))

    assert verdict.path is Path.UNCLEAR
    assert not verdict.good


def test_the_bytes_held_back_are_counted_although_the_first_ones_pass() -> None:
    held = streaming(
        [(0.1, 1), (5.0, 160), (10.0, 160), (11.0, 7)], [(n, 32 * n) for n in range(1, 10)]
    )

    verdict = verdict_on(held)

    assert verdict.path is Path.HOLDS
    assert verdict.padding is not None
    assert 160 * EVENT_BYTES <= verdict.padding <= 200 * EVENT_BYTES
    assert not verdict.good


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (verdict_on(STREAMS, ending=Ending("HEAD", None, None, reused=False)), "did not end (HEAD"),
        (verdict_on(STREAMS, ending=Ending("HEAD", 405, 0.1, reused=False)), "not be used again"),
        (verdict_on(STREAMS, resumption=Resumption([SENT], [SENT], [SENT])), "differs"),
        (verdict_on(dataclasses.replace(STREAMS, ended=False)), "did not end after"),
    ],
    ids=["no end", "connection unusable", "event repeated", "response open"],
)
def test_a_path_that_streams_may_have_another_fault(verdict: Verdict, sentence: str) -> None:
    assert verdict.path is Path.STREAMS
    assert sentence in verdict.sentences[1]
    assert not verdict.good
