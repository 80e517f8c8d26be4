"""Renders the costs as text or as JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cost.bill import Bill, Line, total
from cost.ceiling import Ceiling, Limits
from cost.prices import Prices
from cost.usage import Usage
from cost.workload import Answer, Stack

_SCALES = (1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The inputs and the results. `streams_per_month` adds a month to the usual ones."""

    answer: Answer
    stack: Stack
    limits: Limits
    prices: Prices
    used: Usage
    bill: Bill
    ceiling: Ceiling
    streams_per_month: int | None = None

    @property
    def months(self) -> Mapping[int, float]:
        """The cost of a month, by its number of answers."""
        own = {self.streams_per_month} if self.streams_per_month is not None else set()
        fixed = total(self.bill.month)
        return {each: each * self.bill.dollars + fixed for each in sorted({*_SCALES, *own})}


def text(report: Report) -> str:
    """Return the report as text."""
    return "\n".join(
        [
            *_price_list(report.prices),
            "",
            *_answer(report.bill),
            "",
            *_months(report),
            "",
            *_ceiling(report),
        ]
    )


def as_json(report: Report) -> str:
    """Return the report as JSON."""
    used = report.used
    units = {"write_units": used.write_units, "read_units": used.read_units}
    values: dict[str, Any] = {
        "answer": asdict(report.answer),
        "stack": asdict(report.stack),
        "limits": asdict(report.limits),
        "prices": asdict(report.prices),
        "usage": asdict(used) | units,
        "bill": asdict(report.bill),
        "dollars_per_answer": report.bill.dollars,
        "dollars_per_month": {str(each): cost for each, cost in report.months.items()},
        "most_per_day": asdict(report.ceiling),
    }
    return json.dumps(values, indent=2, ensure_ascii=False)


def _price_list(prices: Prices) -> Iterator[str]:
    yield f"Prices of {prices.region}, {prices.as_of}, as far as known, without free tiers."
    yield "Pass your own with --prices prices.json, or one by one (see --help)."
    if not prices.model_million_input_tokens and not prices.model_million_output_tokens:
        yield "Pass the model's price with --model-million-input-tokens and -output-tokens."


def _answer(bill: Bill) -> Iterator[str]:
    yield f"{'One answer':<22}{'$ per 1,000':>13}{'share':>7}"
    for line in bill.answer:
        share = line.dollars / bill.dollars if bill.dollars else 0.0
        yield f"  {line.what:<20}{line.dollars * 1000:>13.6f}{share:>7.1%}  {line.how}"
    yield f"  {'total':<20}{bill.dollars * 1000:>13.6f}         ${bill.dollars:.8f} per answer"


def _months(report: Report) -> Iterator[str]:
    yield "Fixed costs of a month"
    yield from _dollars(report.bill.month)
    yield ""
    yield "Total of a month"
    for streams, dollars in report.months.items():
        yield f"  {f'{streams:,} answers':<20}{dollars:>13,.2f}"


def _ceiling(report: Report) -> Iterator[str]:
    bounded, estimated = report.ceiling.bounded, report.ceiling.estimated
    yield "Highest cost of a day, bounded by the stack's limits"
    yield from _dollars(bounded)
    yield "Further costs of that day, estimated from the capacity of its sandboxes"
    yield from _dollars(estimated)
    yield f"  {'total':<20}{total([*bounded, *estimated]):>13,.2f}"


def _dollars(lines: Sequence[Line]) -> Iterator[str]:
    for line in lines:
        yield f"  {line.what:<20}{line.dollars:>13,.2f}  {line.how}"
