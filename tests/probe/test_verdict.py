"""What the probe makes of its measurements, where no path on this machine behaves so."""

import dataclasses

import pytest

from probe.events import Arrival, Event
from probe.measurements import Ending, Measurements, Read, Resumption, Sample, Streaming
from probe.verdict import Path, Verdict, judge

EVENT_BYTES = 100
SENT = Event("s:0", "answer", "{}")


def streaming(batches: list[tuple[float, int]], looks: list[tuple[float, int]]) -> Streaming:
    """An answer whose events arrived so many at a time, while so many were found in the log."""
    times = [at for at, count in batches for _ in range(count)]
    arrivals = [
        Arrival(Event(f"s:{seq}", "answer", "{}"), EVENT_BYTES, at) for seq, at in enumerate(times)
    ]
    return Streaming(
        began=0.0,
        reads=[Read(1, count * EVENT_BYTES, at) for at, count in batches],
        arrivals=arrivals,
        samples=[Sample(at, count - 1) for at, count in looks],
        ended=True,
    )


def judged(
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


def test_events_that_arrive_as_the_log_has_them_are_a_stream() -> None:
    verdict = judged(STREAMS)

    assert verdict.path is Path.STREAMS
    assert verdict.good


def test_a_slow_model_is_not_taken_for_a_path_that_holds_back() -> None:
    slow = streaming([(5.0 * n, 1) for n in range(1, 6)], [(n, n // 5) for n in range(5, 25)])

    assert judged(slow).path is Path.STREAMS


def test_one_hiccup_is_not_taken_for_a_path_that_holds_back() -> None:
    hiccup = streaming([(0.1, 1), (2.0, 9), (2.1, 1)], [(0.1, 1), (0.5, 5), (2.0, 10), (2.1, 11)])

    assert judged(hiccup).path is Path.STREAMS


def test_an_answer_that_is_over_at_once_proves_nothing() -> None:
    verdict = judged(streaming([(0.1, 1), (1.0, 30)], [(0.2, 3), (0.6, 20), (1.5, 31)]))

    assert verdict.path is Path.UNCLEAR
    assert not verdict.good


def test_what_is_held_is_counted_though_the_first_bytes_pass() -> None:
    held = streaming(
        [(0.1, 1), (5.0, 160), (10.0, 160), (11.0, 7)], [(n, 32 * n) for n in range(1, 10)]
    )

    verdict = judged(held)

    assert verdict.path is Path.HOLDS
    assert verdict.padding is not None
    assert 160 * EVENT_BYTES <= verdict.padding <= 200 * EVENT_BYTES
    assert not verdict.good


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (judged(STREAMS, ending=Ending("HEAD", None, None, reused=False)), "did not end (HEAD"),
        (judged(STREAMS, ending=Ending("HEAD", 405, 0.1, reused=False)), "no use after"),
        (judged(STREAMS, resumption=Resumption([SENT], [SENT], [SENT])), "differs"),
        (judged(dataclasses.replace(STREAMS, ended=False)), "went on after"),
    ],
    ids=["hangs", "gets stuck", "repeats", "goes on"],
)
def test_a_path_that_streams_may_be_bad_for_another_reason(verdict: Verdict, told: str) -> None:
    assert verdict.path is Path.STREAMS
    assert told in verdict.sentences[1]
    assert not verdict.good
