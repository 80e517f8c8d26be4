"""`python -m chaos`: does any failure between the model and the reader lose or repeat a token?

N streams are read by plain EventSources while everything around them fails, as the seed says.
Every stream is then judged: what was delivered, what the log has, what was to be said. The exit
status is 1 if a single one is not exact; its whole history is printed, and the seed.
"""

import argparse
import asyncio
import secrets
import sys
import time
from pathlib import Path

from chaos import endurance, mutants, singly
from chaos.plan import draw
from chaos.report import failures, latencies, machine, render, table
from chaos.run import run
from local import CannotStart

_MUTANT_STREAMS = 10
_MUTANT_PATIENCE = 60.0


def main() -> int:
    """Play, judge, print."""
    chosen = _parser().parse_args()
    seed = secrets.randbelow(10**6) if chosen.seed is None else chosen.seed
    play = prove if chosen.mutants else measure if chosen.figures else judge
    try:
        return asyncio.run(play(chosen, seed))
    except CannotStart as error:
        print(f"python -m chaos: {error}", file=sys.stderr)
        return 1


async def judge(chosen: argparse.Namespace, seed: int) -> int:
    """Play the streams; the exit status."""
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
    for failure in wrong:
        print(f"\n{failure}")
    if wrong:
        again = f"python -m chaos --seed {seed} --streams {len(numbers)}"
        print(f"\nWRONG: {len(wrong)}. Again: {again}")
    return int(bool(wrong))


async def prove(chosen: argparse.Namespace, seed: int) -> int:
    """Play against the application with each rule taken out; 1 if that goes unseen."""
    print(f"seed {seed}, {_MUTANT_STREAMS} streams each", flush=True)
    unseen = 0
    for mutant in mutants.MUTANTS:
        with mutants.source_of(mutant) as source:
            report = await run(
                mutants.plans(mutant, seed, _MUTANT_STREAMS),
                at_once=chosen.at_once,
                source=source,
                patience=_MUTANT_PATIENCE,
            )
        found = mutants.found(report)
        unseen += not found
        print(f"  without “{mutant.rule}”: {found or 'NOTHING FOUND'}", flush=True)
    return int(bool(unseen))


async def measure(chosen: argparse.Namespace, seed: int) -> int:
    """Measure one fault at a time, and one sandbox that nobody disturbs; the exit status."""
    del chosen, seed
    print(f"{machine()}\n", flush=True)
    report = await run(singly.plans(), at_once=2, clock_offsets=(0.0,))
    print(table("one fault at a time, in seconds", latencies(report)), flush=True)
    wrong = failures(report)
    for failure in wrong:
        print(f"\n{failure}")
    print(f"\n{table('what one sandbox bears', await endurance.rows())}")
    return int(bool(wrong))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--streams", type=int, default=200, help="how many; 200 unless told")
    parser.add_argument("--seed", type=int, help="replay this run's schedule")
    parser.add_argument("--stream", type=int, help="play this one of the run's streams alone")
    parser.add_argument("--histories", type=Path, help="a folder for all that happened to each")
    parser.add_argument("--at-once", type=int, default=8, help="how many are played at once")
    parser.add_argument(
        "--mutants", action="store_true", help="take rules out of the code: all must be found"
    )
    parser.add_argument(
        "--figures", action="store_true", help="measure one fault at a time, and one sandbox"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
