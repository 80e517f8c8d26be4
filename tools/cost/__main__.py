"""`python -m cost`: the cost of one answer and of a month, and the highest cost of a day.

Every input is an option: the answer, the stack, its limits, the prices. The column `share` shows
which lines matter most.
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
    """Compute and print the costs, and return the exit status."""
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
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument(
        "--prices", type=Path, metavar="FILE", help="a JSON object of prices, named as below"
    )
    parser.add_argument(
        "--streams-per-month", type=int, metavar="N", help="add a month with so many answers"
    )
    add_options(parser, Answer, "the average answer")
    add_options(parser, Stack, "the stack")
    add_options(parser, Limits, "the limits of the stack")
    add_options(parser, Prices, "prices in US dollars")
    return parser


if __name__ == "__main__":
    sys.exit(main())
