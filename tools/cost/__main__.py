"""`python -m cost`: what one answer costs, what a month does, and what a day can at most.

Every number that goes in is an option: the answer, the stack, its limits, the prices. What counts
most is said first by the column `share`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cost.bill import bill
from cost.ceiling import Limits, ceiling
from cost.options import add_options, given
from cost.prices import Prices, read
from cost.report import Report, as_json, text
from cost.usage import usage
from cost.workload import Answer, Stack, check


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute, print, and give the process's exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        report = _report(options)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(as_json(report) if options.json else text(report))
    return 0


def _report(options: argparse.Namespace) -> Report:
    listed = read(options.prices) if options.prices is not None else {}
    prices = Prices(**{**listed, **given(options, Prices)})
    answer, stack = Answer(**given(options, Answer)), Stack(**given(options, Stack))
    limits = Limits(**given(options, Limits))
    check(answer, stack)
    used = usage(answer, stack)
    return Report(
        answer=answer,
        stack=stack,
        limits=limits,
        prices=prices,
        used=used,
        bill=bill(answer, stack, used, prices),
        ceiling=ceiling(limits, stack, prices),
        streams_per_month=options.streams_per_month,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cost", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")
    parser.add_argument(
        "--prices", type=Path, metavar="FILE", help="a JSON object of prices, named as below"
    )
    parser.add_argument("--streams-per-month", type=int, metavar="N", help="a month of one's own")
    add_options(parser, Answer, "the answer, on average")
    add_options(parser, Stack, "the stack")
    add_options(parser, Limits, "its limits")
    add_options(parser, Prices, "prices in US dollars")
    return parser


if __name__ == "__main__":
    sys.exit(main())
