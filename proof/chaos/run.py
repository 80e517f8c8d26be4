"""One run: the store, two functions on it, and N streams with their faults."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from durable_stream import Record
from local.dynamodb_local import dynamodb_local
from proof.chaos.deployment import CLOCK_OFFSETS, SOURCE, TIMEOUT, functions_of
from proof.chaos.faults import Fault
from proof.chaos.generations import Generations
from proof.chaos.history import History
from proof.chaos.log import log
from proof.chaos.plan import Plan
from proof.chaos.sandbox_log import Complaint, SandboxLog
from proof.chaos.sandboxes import Sandboxes
from proof.chaos.silences import Survival, survivals
from proof.chaos.steps import judge_steps
from proof.chaos.store import Store
from proof.chaos.story import PATIENCE, Outcome, Story
from proof.chaos.traffic import Ledger
from proof.chaos.verdict import Verdict, judge

RECYCLE_EVERY = 3
# When the last reader has left, the writer of a stream whose reader never learnt its id may still
# be at work: up to the end of its answer, or of its invocation.
QUIET_SECONDS = TIMEOUT + 5.0
# For the harness's own calls, to emulators and to the table, on a busy machine.
CALL_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A plan's outcome, and the verdict on it.

    `overlap` is the longest time in which two providers worked on one stream, and `overrun` the
    longest in which one worked after a stream's end, both in seconds. `survivals` are the silences
    of the store that writers lived through.
    """

    outcome: Outcome
    verdict: Verdict
    overlap: float
    overrun: float
    survivals: Sequence[Survival] = ()


@dataclass
class Report:
    """The results of a run; `errors` has the sandboxes' messages that no fault explains."""

    history: History
    ledger: Ledger
    sandboxes: Sandboxes
    generations: Generations
    played: list[Played] = field(default_factory=list)
    left_running: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def zombies(self) -> int:
        """The number of frozen writers that woke after another had taken their place."""
        return sum(traffic.zombies for traffic in self.ledger.plans.values())


async def run(
    plans: Sequence[Plan],
    *,
    at_once: int,
    source: Path = SOURCE,
    patience: float = PATIENCE,
    clock_offsets: Sequence[float] = CLOCK_OFFSETS,
) -> Report:
    """Play all plans, some at once; `source` is the code that the functions run.

    A stream that has not ended after `patience` seconds is wrong.

    Raises:
        CannotStart: something that is needed is missing.
    """
    by_number = {plan.number: plan for plan in plans}
    history, ledger, generations = History(), Ledger(), Generations()
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(_client())
        upstream = stack.enter_context(dynamodb_local())
        await stack.enter_async_context(generations.listening())
        sandboxes = Sandboxes(http)
        store = Store(upstream, by_number, ledger=ledger, history=history, sandboxes=sandboxes)
        await stack.enter_async_context(store.listening())
        logs = SandboxLog(sandboxes), SandboxLog(sandboxes)
        functions = await stack.enter_async_context(
            functions_of(source, store.url, generations, clock_offsets, logs)
        )
        sandboxes.controls += [function.control_url for function in functions]
        report = Report(history, ledger, sandboxes, generations)
        watching = asyncio.create_task(sandboxes.watch_for_stalls())
        stack.callback(watching.cancel)
        slots = asyncio.Semaphore(at_once)

        async def play(plan: Plan) -> Outcome:
            async with slots:
                if plan.number % RECYCLE_EVERY == 0 and await sandboxes.recycle():
                    history.inject(plan.number, Fault.RECYCLE, "as this stream began")
                story = Story(
                    plan,
                    http=http,
                    functions=[function.url for function in functions],
                    traffic=ledger.traffic(plan.number),
                    sandboxes=sandboxes,
                    history=history,
                    patience=patience,
                )
                return await story.run()

        outcomes = await asyncio.gather(*map(play, plans))
        report.left_running += await _at_work(generations, sandboxes)
        for outcome in outcomes:
            streams = ledger.traffic(outcome.plan.number).streams
            records = {
                each: await log(http, upstream, functions[0].table_name, each) for each in streams
            }
            report.played.append(_judged(outcome, records, report))
    report.left_running += [f"process {pid}" for pid in await sandboxes.survivors(5)]
    report.errors += [_named(each, ledger) for heard in logs for each in heard.complaints]
    return report


def _client() -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(limits=limits, timeout=CALL_SECONDS, trust_env=False)


async def _at_work(generations: Generations, sandboxes: Sandboxes) -> list[str]:
    """The work that continues although no client waits for it."""
    running = await generations.all_over(QUIET_SECONDS)
    return [
        f"a provider at work on stream {each.number} in process {each.pid}" for each in running
    ] + await sandboxes.at_work(QUIET_SECONDS)


def _judged(outcome: Outcome, records: Mapping[str, Sequence[Record]], report: Report) -> Played:
    number = outcome.plan.number
    generations, sandboxes = report.generations, report.sandboxes
    silences = report.ledger.traffic(number).silences
    overlap = generations.longest_overlap(number, sandboxes, silences)
    overrun = max(
        (
            generations.longest_behind(stream_id, end, sandboxes)
            for stream_id, end in report.ledger.traffic(number).ended_at.items()
        ),
        default=0.0,
    )
    numbers = {stream_id: generations.number_on(stream_id) for stream_id in records}
    verdict = judge(outcome, records, numbers, overlap=overlap, overrun=overrun)
    verdict.wrong += [
        f"log of {stream_id[:6]}: position {seq} was written twice"
        for stream_id, seq in report.ledger.traffic(number).twice
    ]
    for stream_id, each in records.items():
        ran = generations.steps_on(stream_id)
        traffic = report.ledger.traffic(number)
        verdict.wrong += judge_steps(outcome.plan, each, ran, traffic, sandboxes)
    lived = [*survivals(report.ledger.traffic(number), records, generations, sandboxes)]
    verdict.wrong += [each.wrong for each in lived if each.wrong]
    return Played(
        outcome=outcome, verdict=verdict, overlap=overlap, overrun=overrun, survivals=lived
    )


def _named(complaint: Complaint, ledger: Ledger) -> str:
    number = ledger.number_of_shortened(complaint.stream)
    return str(complaint) if number is None else f"stream {number}, {complaint}"
