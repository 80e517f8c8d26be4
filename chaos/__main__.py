"""`python -m chaos`: does any failure between the model and the reader lose or repeat a token?

N streams are read by plain EventSources while everything around them fails, as the seed says.
Every stream is then judged: what was delivered, what the log has, what was to be said. The exit
status is 1 if a single one is not exact; its whole history is printed, and the seed.
"""

import argparse
import asyncio
import secrets
import sys

from chaos.plan import draw
from chaos.report import failures, render
from chaos.run import run
from local import CannotStart


def main() -> int:
    """Play, judge, print."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--streams", type=int, default=200, help="how many; 200 unless told")
    parser.add_argument("--seed", type=int, help="replay this run's schedule")
    parser.add_argument(
        "--stream", type=int, help="play this one stream of the run alone, and print its history"
    )
    parser.add_argument("--at-once", type=int, default=16, help="how many are played at once")
    chosen = parser.parse_args()
    seed = secrets.randbelow(10**6) if chosen.seed is None else chosen.seed
    numbers = range(chosen.streams) if chosen.stream is None else [chosen.stream]
    print(f"seed {seed}, {len(numbers)} streams", flush=True)
    try:
        report = asyncio.run(
            run([draw(seed, number) for number in numbers], at_once=chosen.at_once)
        )
    except CannotStart as error:
        print(f"python -m chaos: {error}", file=sys.stderr)
        return 1
    if chosen.stream is not None:
        print(report.history.of(chosen.stream))
    print(render(report))
    wrong = failures(report)
    for failure in wrong:
        print(f"\n{failure}")
    if wrong:
        print(
            f"\nWRONG: {len(wrong)}. Again: python -m chaos --seed {seed} --streams {len(numbers)}"
        )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
