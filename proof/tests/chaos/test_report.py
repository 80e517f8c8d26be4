"""The report on a run: its failures, how to see them again, and the faults that were not done."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import httpx
import pytest

from proof.chaos.faults import Fault
from proof.chaos.generations import Generation, Generations
from proof.chaos.history import History
from proof.chaos.mutants import MUTANTS, found
from proof.chaos.plan import Plan, draw
from proof.chaos.reader import Told
from proof.chaos.report import drawn, failures, not_done, render
from proof.chaos.run import Played, Report
from proof.chaos.sandboxes import Sandboxes
from proof.chaos.story import Outcome
from proof.chaos.traffic import Ledger
from proof.chaos.verdict import Verdict
from tests.event_source import Event

pytestmark = pytest.mark.anyio

QUIET = replace(
    next(plan for plan in (draw(1, n) for n in range(100)) if plan.undisturbed), stepping=False
)
DISTURBED = replace(
    QUIET,
    number=QUIET.number + 1,
    puts={1: Fault.SLOW},
    queries={2: Fault.STALE_QUERY},
    cancel=Fault.CANCEL,
    hostile=True,
)


@pytest.fixture
async def report() -> AsyncIterator[Report]:
    """Of a run that has not begun."""
    async with httpx.AsyncClient() as http:
        yield Report(History(), Ledger(), Sandboxes(http), Generations())


def played(plan: Plan, wrong: Sequence[str] = (), *, ended: bool = True) -> Played:
    """A plan whose reader received all of it."""
    done = Event("s:0", "done", {"usage": {"output_tokens": 7}}, 0.0)
    outcome = Outcome(plan, readers=[Told(events=[done])], ended=ended)
    return Played(outcome=outcome, verdict=Verdict(list(wrong)), overlap=0.0, overrun=0.0)


def row(report: Report, what: str) -> str:
    """The value in a row of the printed report."""
    (line,) = [each for each in render(report).splitlines() if each.startswith(f"  {what} ")]
    return line.split()[-1]


async def test_a_failure_names_its_stream_and_tells_its_history(report: Report) -> None:
    report.played += [played(QUIET), played(DISTURBED, ["two tongues"])]
    report.history.inject(DISTURBED.number, Fault.SLOW, "here")
    (failure,) = failures(report)

    assert failure.number == DISTURBED.number
    assert "✗ two tongues" in failure.what
    assert "FAULT slow put: here" in failure.what


async def test_what_was_left_running_or_logged_is_a_failure_of_no_stream(report: Report) -> None:
    report.left_running.append("process 5")
    report.errors.append("the writer broke")

    assert [failure.number for failure in failures(report)] == [None, None]
    assert row(report, "errors logged that no fault explains") == "1"


async def test_what_plans_had_and_nobody_did_is_named(report: Report) -> None:
    report.played += [played(QUIET), played(DISTURBED)]
    report.history.inject(DISTURBED.number, Fault.SLOW, "here")
    report.history.inject(DISTURBED.number, Fault.CANCEL, "now")

    assert drawn(QUIET) == frozenset()
    assert not_done(report) == [Fault.STALE_QUERY, Fault.HOSTILE_CURSORS]
    assert "drawn, but not done: stale query, hostile cursors" in render(report)


async def test_a_fault_that_many_were_to_have_and_none_had_is_a_failure(report: Report) -> None:
    slow = replace(QUIET, puts={1: Fault.SLOW})
    report.played += [played(slow)] * 11
    assert failures(report) == []

    report.played.append(played(slow))
    (failure,) = failures(report)
    assert failure.what == "never done, though many streams were to have it: slow put"


async def test_streams_without_an_end_in_time_are_counted(report: Report) -> None:
    report.played += [played(QUIET), played(DISTURBED, ended=False)]

    assert row(report, "streams without an end in time") == "1"


async def test_an_answer_that_had_to_be_begun_again_is_not_undisturbed(report: Report) -> None:
    report.played.append(played(QUIET))
    report.generations.all.append(Generation(number=QUIET.number, stream="s", pid=11, began=0.0))
    assert row(report, "answers") == "1"

    report.generations.all.append(Generation(number=QUIET.number, stream="s", pid=12, began=0.0))
    assert row(report, "answers") == "0"


async def test_a_mutant_is_found_by_what_its_rule_forbids_and_by_nothing_else(
    report: Report,
) -> None:
    (mutant,) = [each for each in MUTANTS if each.rule.startswith("resume behind")]
    report.played.append(played(QUIET, ["no end within 60 s", "reader 0: no terminal event"]))
    report.left_running.append("process 5")
    assert found(mutant, report) == []

    twice = "reader 0: ids are not each once, in order: [(0, 0)]"
    report.played.append(played(DISTURBED, ["no end within 60 s", twice]))
    assert found(mutant, report) == [twice]
