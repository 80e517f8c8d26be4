"""Forbidden runs of steps are found; a step that runs again, or late in a zombie, is not."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import httpx
import pytest

from app.events import Answer, Done, Start, Thinking
from durable_stream import Cancelled, Claim, Event, Record, Reset, StepBegun, StepEnded
from durable_stream.step_keys import idempotency_key
from proof.chaos.generations import Generation
from proof.chaos.plan import draw
from proof.chaos.sandboxes import Frozen, Sandboxes
from proof.chaos.steps import judge_steps
from proof.chaos.traffic import Traffic

pytestmark = pytest.mark.anyio

STREAM = "s" * 32
PLAN = replace(draw(1, 0), stepping=True, max_tokens=40)
WRITE, LEFT = "write:1", "aside:left:1"


def whole() -> list[Event]:
    """The events of an undisturbed stream of one writer."""
    events: list[Event] = [Start("", model="demo"), Thinking("".join(PLAN.thinking))]
    for stage in PLAN.stages:
        events.append(Answer(stage.before))
        events += [StepBegun(key.partition(":")[0], "", within=key) for key in stage.steps]
        events += [Answer("".join(said), within=key) for key, said in stage.steps.items() if said]
        events += [StepEnded(json.dumps(key), within=key) for key in stage.steps]
    return [*events, Done("stop", 0, 1)]


def log(events: Sequence[Event]) -> list[Record]:
    """Records that stood at the second of their position."""
    return [
        Record(STREAM, seq, event, writer="w", nonce="n", at=0, expires_at=0)
        for seq, event in enumerate(events)
    ]


def begin_of(events: Sequence[Event], key: str) -> int:
    return next(n for n, each in enumerate(events) if each.within == key)


def end_of(events: Sequence[Event], key: str) -> int:
    return next(n for n, e in enumerate(events) if e.within == key and isinstance(e, StepEnded))


def taken_over(at: int) -> list[Event]:
    """The whole stream, with a claim at a position: attempt 2 is of process 2."""
    events = whole()
    return [*events[:at], Claim(2, "replayed"), *events[at:]]


def ran(key: str, began: float, attempt: int = 1) -> Generation:
    step = idempotency_key(STREAM, key)
    return Generation(PLAN.number, STREAM[:8], attempt, began, began + 1, attempt, step)


def runs_of(events: Sequence[Event]) -> list[Generation]:
    """Each step as it runs when nothing goes wrong: in the attempt that records its end."""
    attempt, since = 1, 0
    runs: list[Generation] = []
    for seq, event in enumerate(events):
        if isinstance(event, Claim):
            attempt, since = event.attempt, seq
        if isinstance(event, StepEnded):
            began = max(begin_of(events, event.within), since)
            runs.append(ran(event.within, began + 0.1, attempt))
    return runs


@pytest.fixture
async def sandboxes() -> AsyncIterator[Sandboxes]:
    async with httpx.AsyncClient() as http:
        yield Sandboxes(http)


def wrong(events: Sequence[Event], runs: Sequence[Generation], sandboxes: Sandboxes) -> list[str]:
    traffic, pid = Traffic(), 1
    for seq, event in enumerate(events):
        pid = event.attempt if isinstance(event, Claim) else pid
        traffic.writers[STREAM, seq] = pid
        traffic.stood_at[STREAM, seq] = float(seq)
    return [*judge_steps(PLAN, log(events), runs, traffic, sandboxes)]


async def test_steps_that_run_once_each_are_right(sandboxes: Sandboxes) -> None:
    assert wrong(whole(), runs_of(whole()), sandboxes) == []


async def test_a_step_may_run_again_until_its_end_is_recorded(sandboxes: Sandboxes) -> None:
    events = taken_over(begin_of(whole(), WRITE) + 1)
    before = ran(WRITE, begin_of(events, WRITE) + 0.1)

    assert wrong(events, [before, *runs_of(events)], sandboxes) == []


async def test_a_step_that_runs_behind_its_end_is_found(sandboxes: Sandboxes) -> None:
    events = taken_over(end_of(whole(), WRITE) + 1)
    claim = end_of(events, WRITE) + 1
    (found,) = wrong(events, [*runs_of(events), ran(WRITE, claim + 0.1, 2)], sandboxes)

    assert "the step write:1 ran in attempt 2, though the log had its end" in found


async def test_a_step_that_runs_twice_in_an_attempt_is_found(sandboxes: Sandboxes) -> None:
    again = ran(WRITE, begin_of(whole(), WRITE) + 0.5)
    (found,) = wrong(whole(), [*runs_of(whole()), again], sandboxes)

    assert "the step write:1 ran 2 times in attempt 1" in found


async def test_a_step_that_begins_before_its_record_is_durable_is_found(
    sandboxes: Sandboxes,
) -> None:
    block, first, *rest = runs_of(whole())
    early = replace(first, began=first.began - 1)
    (found,) = wrong(whole(), [block, early, *rest], sandboxes)

    assert "before the record of its begin was durable" in found


async def test_a_step_that_runs_without_a_record_is_found(sandboxes: Sandboxes) -> None:
    events = [*whole()[: begin_of(whole(), WRITE)], Cancelled()]
    (found,) = wrong(events, [*runs_of(events), ran(WRITE, 3.0)], sandboxes)

    assert "a step ran that has no record" in found


async def test_an_end_that_its_attempt_has_not_earned_is_found(sandboxes: Sandboxes) -> None:
    block, _, *rest = runs_of(whole())
    (found,) = wrong(whole(), [block, *rest], sandboxes)

    assert "attempt 1 recorded the end of write:1, and had not run it" in found


async def test_a_step_that_begins_in_a_process_that_has_lost_is_found_but_for_frozen_time(
    sandboxes: Sandboxes,
) -> None:
    events = taken_over(begin_of(whole(), WRITE) + 1)
    claim = begin_of(events, WRITE) + 1
    zombie = ran(WRITE, claim + 7.0)
    (found,) = wrong(events, [zombie, *runs_of(events)], sandboxes)
    assert "attempt 1, 7.0 s after its process had lost the stream" in found

    sandboxes.frozen[1].append(Frozen(since=claim - 4.0, until=claim + 6.9))
    assert wrong(events, [zombie, *runs_of(events)], sandboxes) == []


async def test_a_step_in_a_process_that_had_not_claimed_is_found(sandboxes: Sandboxes) -> None:
    first, *rest = runs_of(whole())
    (found,) = wrong(whole(), [replace(first, pid=7), *rest], sandboxes)

    assert "in process 7, which is not that attempt's" in found


@pytest.mark.parametrize(
    ("key", "instead", "what"),
    [
        (WRITE, (StepBegun("write", "", within=WRITE),) * 2, "begins a second time"),
        (LEFT, (), "is before the step's begin"),
        (WRITE, (StepBegun("write", "", within=LEFT),), "is not where the plan has it"),
        (WRITE, (Reset(), StepBegun("write", "", within=WRITE)), "resets what is outside"),
    ],
)
async def test_records_of_steps_out_of_order_are_found(
    key: str, instead: tuple[Event, ...], what: str, sandboxes: Sandboxes
) -> None:
    at = begin_of(whole(), key)
    events = [*whole()[:at], *instead, *whole()[at + 1 :]]

    assert any(what in each for each in wrong(events, runs_of(whole()), sandboxes))


@pytest.mark.parametrize(
    ("instead", "what"),
    [
        ((), "has no end of ['write:1']"),
        ((StepEnded('"aside:left:1"', within=WRITE),), "has another value"),
        ((StepEnded("", '["ValueError",""]', within=WRITE),), "has another value"),
        ((StepEnded('"write:1"', within=WRITE),) * 2, "is behind the step's end"),
    ],
)
async def test_ends_of_steps_that_are_not_what_they_must_be_are_found(
    instead: tuple[Event, ...], what: str, sandboxes: Sandboxes
) -> None:
    at = end_of(whole(), WRITE)
    events = [*whole()[:at], *instead, *whole()[at + 1 :]]

    assert any(what in each for each in wrong(events, runs_of(whole()), sandboxes))
