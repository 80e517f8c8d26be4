"""One run: the store, two functions on it, and N streams with their trouble."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from chaos.dynamodb import dynamodb_local, log
from chaos.faults import Fault
from chaos.functions import CLOCK_OFFSETS, SOURCE, functions_of
from chaos.generations import Generations
from chaos.history import History
from chaos.plan import Plan
from chaos.sandboxes import Sandboxes
from chaos.store import Store
from chaos.story import PATIENCE, Outcome, Story
from chaos.traffic import Ledger
from chaos.verdict import Verdict, judge

RECYCLE_EVERY = 5
# What may still be at work when the last reader has left: an answer nobody waits for.
QUIET_SECONDS = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A plan, what became of it, and what is to be said of it."""

    outcome: Outcome
    verdict: Verdict
    overlap: float
    overrun: float = 0.0


@dataclass
class Report:
    """What a run came to.

    `zombies` counts the frozen writers that woke up behind a take-over, `errors` has what the
    sandboxes logged as errors that no fault explains.
    """

    history: History
    ledger: Ledger
    sandboxes: Sandboxes
    generations: Generations
    played: list[Played] = field(default_factory=list)
    left_running: list[str] = field(default_factory=list)
    zombies: int = 0
    errors: list[str] = field(default_factory=list)


async def run(
    plans: Sequence[Plan],
    *,
    at_once: int,
    source: Path = SOURCE,
    patience: float = PATIENCE,
    clock_offsets: Sequence[float] = CLOCK_OFFSETS,
) -> Report:
    """Play all plans, some at once; `source` is what the functions run.

    A stream that has not ended after `patience` seconds is wrong.

    Raises:
        CannotStart: something that is needed is missing.
    """
    by_number = {plan.number: plan for plan in plans}
    history, ledger, generations = History(), Ledger(), Generations()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(limits=limits, trust_env=False))
        upstream = await stack.enter_async_context(dynamodb_local())
        await stack.enter_async_context(generations.listening())
        sandboxes = Sandboxes(http)
        store = Store(upstream, by_number, ledger=ledger, history=history, sandboxes=sandboxes)
        await stack.enter_async_context(store.listening())
        functions = await stack.enter_async_context(
            functions_of(source, store.url, generations, clock_offsets)
        )
        sandboxes.controls += [function.control_url for function in functions]
        report = Report(history, ledger, sandboxes, generations)
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
        running = await generations.all_over(QUIET_SECONDS)
        report.left_running += [
            f"a provider at work on stream {each.number} in process {each.pid}" for each in running
        ]
        for outcome in outcomes:
            number = outcome.plan.number
            streams = ledger.traffic(number).streams
            logs = {
                each: await log(http, upstream, functions[0].table_name, each) for each in streams
            }
            # Of several streams with one prompt nobody could say which provider works on which.
            overlap = generations.longest_overlap(number, sandboxes) if len(streams) == 1 else 0.0
            verdict = judge(outcome, logs, overlap=overlap, overrun=0.0)
            report.played.append(Played(outcome=outcome, verdict=verdict, overlap=overlap))
    report.left_running += [f"process {pid}" for pid in await report.sandboxes.survivors(5)]
    return report
