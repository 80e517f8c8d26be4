"""The printed report of a run: its faults, its results, and every stream that went wrong."""

import os
import platform
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from proof.chaos.faults import WHAT, Fault
from proof.chaos.figures import (
    Sample,
    calls,
    hand_over_gaps,
    resume_latencies,
    take_over_times,
    tokens,
)
from proof.chaos.plan import Plan
from proof.chaos.run import Played, Report

ENDS = ("done", "cancelled", "error")
# If so many streams have a fault in their plans, one has it done unless something is broken.
_SURELY_DONE = 12


def machine() -> str:
    """The machine behind the figures, and how busy it was when they were made."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(": ")[2] for line in cpuinfo if line.startswith("model name")]
    processor = models[0] if models else platform.machine()
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} x {processor}, "
        f"load {os.getloadavg()[0]:.1f}, {platform.platform()}, CPython {platform.python_version()}"
    )


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure in words; `number` is its stream's, if it belongs to one."""

    what: str
    number: int | None = None


def failures(report: Report) -> list[Failure]:
    """All failures; a stream's comes with its whole history."""
    return [
        *(Failure(f"left running: {each}") for each in report.left_running),
        *(Failure(f"logged, and no fault explains it: {each}") for each in report.errors),
        *(
            Failure(f"never done, though many streams were to have it: {fault}")
            for fault in not_done(report, _SURELY_DONE)
        ),
        *(_failure(report, played) for played in report.played if played.verdict.wrong),
    ]


def _failure(report: Report, played: Played) -> Failure:
    plan = played.outcome.plan
    complaints = (f"  ✗ {each}" for each in played.verdict.wrong)
    lines = [f"stream {plan.number}: {plan}", *complaints, report.history.of(plan.number)]
    return Failure("\n".join(lines), plan.number)


def drawn(plan: Plan) -> frozenset[Fault]:
    """The faults in a plan."""
    return frozenset(
        {
            *plan.puts.values(),
            *plan.queries.values(),
            *(trouble.fault for each in plan.connections for trouble in each if trouble),
            *({plan.cancel} if plan.cancel else ()),
            *({Fault.KILL_AFTER_SEND} if plan.kill_after_send else ()),
            *({Fault.DUPLICATE_CREATE} if plan.duplicates else ()),
            *({Fault.HOSTILE_CURSORS} if plan.hostile else ()),
            *({Fault.CROWD} if plan.crowded else ()),
        }
    )


def not_done(report: Report, streams: int = 1) -> list[Fault]:
    """The faults that so many plans had and that were never done: no stream reached the count."""
    had = Counter(fault for played in report.played for fault in drawn(played.outcome.plan))
    done = report.history.injected
    return [fault for fault in Fault if had[fault] >= streams and not done[fault]]


def render(report: Report) -> str:
    """The tables."""
    injected = report.history.injected
    done = ((fault, f"{injected[fault]:,}", WHAT[fault]) for fault in Fault)
    never = ", ".join(not_done(report)) or "nothing"
    return "\n\n".join(
        (
            table("what was done", done),
            f"drawn, but not done: {never}",
            table("what came of it", _results(report)),
            table("how long it took, in seconds", latencies(report)),
            table("what an undisturbed answer costs", _costs(report)),
        )
    )


def _results(report: Report) -> Iterator[tuple[str, str]]:
    played = report.played
    readers = [told for each in played for told in each.outcome.readers]
    ends = [told.events[-1].name for told in readers if told.events]
    overlap = max((each.overlap for each in played), default=0.0)
    overrun = max((each.overrun for each in played), default=0.0)
    yield "streams", f"{len(played):,}"
    yield "readers", f"{len(readers):,}"
    yield "events received", f"{sum(len(told.events) for told in readers):,}"
    yield "connections", f"{sum(len(told.connected_at) for told in readers):,}"
    yield "sandboxes", f"{len(report.sandboxes.seen):,}"
    yield "generations", f"{len(report.generations.all):,}"
    stepping = [each for each in played if each.outcome.plan.stepping]
    yield "streams of the agent with steps", f"{len(stepping):,}"
    yield "executions of steps", f"{len(report.generations.steps):,}"
    yield "steps that ran again in a later attempt", f"{report.generations.repeated_steps:,}"
    for name in ENDS:
        yield f"readers told {name}", f"{ends.count(name):,}"
    yield "readers ended by the platform's 502", f"{sum(len(t.gave_up) for t in readers):,}"
    yield "zombies that woke", f"{report.zombies:,}"
    lived = [each for one in played for each in one.survivals]
    went_on = sum(not each.wrong for each in lived)
    yield "writers that went on behind a silence of the store", f"{went_on:,} of {len(lived):,}"
    yield "longest overlap of two providers", f"{overlap:.1f} s"
    yield "longest work of a provider behind the end", f"{overrun:.1f} s"
    yield "tokens lost", f"{sum(each.verdict.lost for each in played):,}"
    yield "tokens repeated", f"{sum(each.verdict.repeated for each in played):,}"
    yield "tokens undelivered", f"{sum(each.verdict.undelivered for each in played):,}"
    yield "streams without an end in time", f"{sum(not e.outcome.ended for e in played):,}"
    yield "streams that went wrong", f"{sum(bool(each.verdict.wrong) for each in played):,}"
    yield "errors logged that no fault explains", f"{len(report.errors):,}"
    yield "left running", f"{len(report.left_running):,}"


def latencies(report: Report) -> Iterator[tuple[str, str]]:
    """The time until a stream continued, after each of the three kinds of interruption.

    Of the chat alone: a step that runs again repeats what the log has before it says a new token.
    """
    resumed: list[float] = []
    taken_over: list[float] = []
    handed_over: list[float] = []
    for played in report.played:
        if played.outcome.plan.stepping:
            continue
        traffic = report.ledger.traffic(played.outcome.plan.number)
        for told in played.outcome.readers:
            resumed += resume_latencies(told, traffic)
            handed_over += hand_over_gaps(told)
        for told in played.outcome.readers[:1]:
            taken_over += take_over_times(told, traffic)
    yield "from a reconnect to the first missed event", str(Sample(resumed))
    yield "from a writer's kill to the next new token", str(Sample(taken_over))
    yield "from a handoff to the next new token", str(Sample(handed_over))


def _costs(report: Report) -> Iterator[tuple[str, str]]:
    quiet = [played for played in report.played if _undisturbed(report, played)]
    if quiet:
        per_answer = calls(report.ledger.traffic(each.outcome.plan.number) for each in quiet)
        length = statistics.fmean(tokens(each.outcome.readers[0].events) for each in quiet)
        for operation, number in per_answer.items():
            yield f"{operation} calls", f"{number:.1f}"
        yield "tokens", f"{length:.0f}"
    yield "answers", f"{len(quiet)}"


def _undisturbed(report: Report, played: Played) -> bool:
    """True if nothing happened to a stream, nor to a sandbox that it shared."""
    plan, readers = played.outcome.plan, played.outcome.readers
    return (
        plan.undisturbed
        and not plan.stepping
        and len(report.generations.of(plan.number)) == 1
        and any(told.events and told.events[-1].name == "done" for told in readers)
    )


def table(title: str, rows: Iterable[tuple[str, ...]]) -> str:
    """A table in plain text under its title: a name, a value, and perhaps an explanation."""
    lines = list(rows)
    width = max(len(line[0]) for line in lines)
    return "\n".join([title, *(_line(width, *line) for line in lines)])


def _line(width: int, what: str, value: str, explained: str = "") -> str:
    return f"  {what:<{width}}  {value:>10}  {explained}".rstrip()
