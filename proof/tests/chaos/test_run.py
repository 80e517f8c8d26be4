"""The harness as it is run: it passes on the application, and fails on one without a rule."""

from pathlib import Path

import pytest

from proof.chaos import mutants
from proof.chaos.faults import FATAL
from proof.chaos.plan import draw
from proof.chaos.report import failures, render
from proof.chaos.run import run

pytestmark = [pytest.mark.anyio, pytest.mark.dynamodb_local, pytest.mark.timeout(240)]


async def test_streams_that_are_killed_and_cut_are_exact_and_leave_nothing_running() -> None:
    plans = [draw(1, number) for number in range(60)]
    fatal = [plan for plan in plans if FATAL & {*plan.puts.values()} and not plan.crowded]
    report = await run(fatal[:4], at_once=4)

    assert failures(report) == []
    assert report.history.injected.total() > 0
    assert "tokens lost" in render(report)


async def test_an_application_that_resumes_at_the_last_event_is_found_out() -> None:
    (mutant,) = [each for each in mutants.MUTANTS if each.rule.startswith("resume behind")]
    with mutants.source_of(mutant) as source:
        # A cut shows it only where the reader comes back for more: not all of these do.
        report = await run(mutants.plans(mutant, 1)[:8], at_once=8, source=source, patience=60)

    assert mutants.found(mutant, report)
    shown = [failure for failure in failures(report) if "each once" in failure.what]
    assert any("FAULT" in failure.what for failure in shown), "its whole history is told"


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda each: each.rule)
def test_every_mutant_still_finds_its_passage(mutant: mutants.Mutant) -> None:
    with mutants.source_of(mutant) as source:
        assert mutant.instead in Path(source / mutant.file).read_text()
