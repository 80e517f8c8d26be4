"""`python -m proof.chaos`: does a failure between model and reader lose or repeat a token?

N streams are read by plain EventSources while everything around them fails, as the seed says.
Every stream is then judged: the delivered events and the log against the expected answer. The exit
status is 1 if a single stream is not exact; its whole history is printed, and the seed.
"""

import argparse
import asyncio
import secrets
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

from local import CannotStart
from proof.chaos import calm, endurance, mutants, singly
from proof.chaos.deployment import SOURCE
from proof.chaos.plan import Plan, draw
from proof.chaos.report import Failure, failures, latencies, machine, render, table
from proof.chaos.run import Report, run

_MUTANT_PATIENCE = 60.0
# So many characters are enough to recognise a complaint.
_BRIEF = 120


def main() -> int:
    """Play, judge, print."""
    chosen = _parser().parse_args()
    seed = secrets.randbelow(10**6) if chosen.seed is None else chosen.seed
    play = prove if chosen.mutants is not None else measure if chosen.figures else judge
    try:
        return asyncio.run(play(chosen, seed))
    except CannotStart as error:
        print(f"python -m proof.chaos: {error}", file=sys.stderr)
        return 1


async def judge(chosen: argparse.Namespace, seed: int) -> int:
    """Play the streams, and return the exit status."""
    numbers = range(chosen.streams) if chosen.stream is None else [chosen.stream]
    print(f"seed {seed}, {len(numbers)} streams, {chosen.at_once} at once", flush=True)
    began_at = time.monotonic()
    report = await run([draw(seed, number) for number in numbers], at_once=chosen.at_once)
    if chosen.histories:
        chosen.histories.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            (chosen.histories / f"{number}.txt").write_text(report.history.of(number))
    print(f"{machine()}\n\n{render(report)}")
    print(f"\n{time.monotonic() - began_at:.0f} s in all")
    wrong = failures(report)
    _tell(wrong, seed)
    if wrong:
        which = f"--streams {chosen.streams}" if chosen.stream is None else f"--stream {numbers[0]}"
        again = _again(f"--seed {seed} {which} --at-once {chosen.at_once}")
        print(f"\nWRONG: {len(wrong)}. {again}")
    return int(bool(wrong))


def _tell(wrong: Sequence[Failure], seed: int) -> None:
    for failure in wrong:
        print(f"\n{failure.what}")
        if failure.number is not None:
            print(_again(f"--seed {seed} --stream {failure.number}"))


def _again(arguments: str) -> str:
    return f'Again: make chaos ARGS="{arguments}"'


async def prove(chosen: argparse.Namespace, seed: int) -> int:
    """Play against the application with each rule taken out; return 1 if one goes unseen.

    First comes the application as it is, with all their plans: also 1 if anything is wrong.
    """
    print(f"seed {seed}", flush=True)
    chosen_ones = [each for each in mutants.MUTANTS if chosen.mutants in each.rule]
    plans = {mutant.rule: mutants.plans(mutant, seed) for mutant in chosen_ones}

    async def play(plans: Sequence[Plan], source: Path) -> Report:
        # A mutant's plans at once: then the wait for streams that never end is paid once.
        at_once = max(chosen.at_once, mutants.STREAMS)
        return await run(plans, at_once=at_once, source=source, patience=_MUTANT_PATIENCE)

    every = {plan.number: plan for each in plans.values() for plan in each}
    wrong = failures(await play([*every.values()], SOURCE))
    print(f"  with every rule: {len(wrong)} wrong, of {len(every)} streams", flush=True)
    _tell(wrong, seed)
    unseen = 0
    for mutant in chosen_ones:
        with mutants.source_of(mutant) as source:
            found = mutants.found(mutant, await play(plans[mutant.rule], source))
        unseen += not found
        by = f"{len(found)} of {mutant.streams}, {_brief(found[0])}" if found else "NOTHING FOUND"
        print(f"  without “{mutant.rule}”: {by}", flush=True)
    if wrong or unseen:
        print(f"\nWRONG: {len(wrong) + unseen}. {_again(f'--mutants --seed {seed}')}")
    return int(bool(wrong or unseen))


def _brief(complaint: str) -> str:
    return textwrap.shorten(complaint, _BRIEF, placeholder=" …")


async def measure(chosen: argparse.Namespace, seed: int) -> int:
    """Measure one fault at a time, and one undisturbed sandbox; return the exit status."""
    del chosen, seed
    print(f"{machine()}\n", flush=True)
    report = await run(singly.plans(), at_once=singly.AT_ONCE, clock_offsets=(0.0,))
    print(table("one fault at a time, in seconds", latencies(report)), flush=True)
    with calm.load():
        calmly = await run(calm.plans(), at_once=calm.AT_ONCE, clock_offsets=(0.0,))
    print(f"\n{table('no fault, on a machine with too much to do', calm.rows(calmly))}", flush=True)
    wrong = [*failures(report), *failures(calmly)]
    for failure in wrong:
        print(f"\n{failure.what}")
    print(f"\n{table('what one sandbox bears', await endurance.rows())}")
    return int(bool(wrong))


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("there must be one at least")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m proof.chaos", description=__doc__)
    parser.add_argument("--streams", type=_count, default=200, help="how many; 200 unless told")
    parser.add_argument("--seed", type=int, help="replay this run's schedule")
    parser.add_argument("--stream", type=int, help="play this one of the run's streams alone")
    parser.add_argument("--histories", type=Path, help="a folder for all that happened to each")
    parser.add_argument("--at-once", type=_count, default=8, help="how many are played at once")
    parser.add_argument(
        "--mutants",
        nargs="?",
        const="",
        metavar="WORD",
        help="take rules out of the code, or those with this word: all must be found",
    )
    parser.add_argument(
        "--figures", action="store_true", help="measure one fault at a time, and one sandbox"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
