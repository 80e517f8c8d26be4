"""The printed table, in Markdown: one line a measurement, with its result against its target."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proof.bench.samples import Sample

HEADINGS = (
    "what",
    "ours",
    "against",
    "ratio",
    "half of all runs",
    "target",
    "result",
    "depends on the machine",
)
_NUMERIC = (1, 3)


@dataclass(frozen=True, slots=True)
class Target:
    """The worst value that is allowed, and the value that we would like."""

    limit: float
    aim: float | None
    at_least: bool

    def missed(self, value: float) -> bool:
        """True if a value is on the wrong side of the limit."""
        return value < self.limit if self.at_least else value > self.limit

    def __str__(self) -> str:
        """The target as the table shows it."""
        aim = "" if self.aim is None else f", aim {self.aim:g}"
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}{aim}"


def at_most(limit: float, *, aim: float | None = None) -> Target:
    """The target of a number that is better when it is smaller."""
    return Target(limit, aim, at_least=False)


def at_least(limit: float, *, aim: float | None = None) -> Target:
    """The target of a number that is better when it is larger."""
    return Target(limit, aim, at_least=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement.

    With `theirs`, the target is for the ratio of the two, round by round; without, for the number
    itself. Without a target, the row informs and judges nothing. `against` names the comparison.
    `portable` says that the number is the same on every machine, such as a count.
    """

    what: str
    ours: Sample
    unit: str
    theirs: Sample | None = None
    against: str = ""
    target: Target | None = None
    portable: bool = False

    @property
    def judged(self) -> Sample:
        """The numbers that the target is for."""
        return self.ours if self.theirs is None else Sample.ratios(self.ours, self.theirs)

    @property
    def missed(self) -> bool:
        """True if the limit is missed."""
        return self.target is not None and self.target.missed(self.judged.median)

    def cells(self) -> Sequence[str]:
        """The line, column by column as in HEADINGS."""
        low, high = self.judged.quartiles
        return (
            self.what,
            f"{_number(self.ours.median)} {self.unit}",
            self._against(),
            "" if self.theirs is None else f"{self.judged.median:.2f}",
            f"{_number(low)} to {_number(high)}" if len(self.ours.values) > 1 else "",
            "" if self.target is None else str(self.target),
            "" if self.target is None else "MISSED" if self.missed else "ok",
            self._machine(),
        )

    def _against(self) -> str:
        if self.theirs is None:
            return self.against
        return f"{_number(self.theirs.median)} {self.unit}: {self.against}"

    def _machine(self) -> str:
        if self.portable:
            return "no"
        return "yes" if self.theirs is None else "hardly the ratio"


def render(title: str, rows: Iterable[Row]) -> str:
    """A table that reads well as it is and on a page, under its title."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    header, *body = (_line(cells, widths) for cells in lines)
    return "\n".join([f"**{title}**", "", header, _rule(widths), *body])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if index in _NUMERIC else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |"


def _rule(widths: Sequence[int]) -> str:
    rules = [
        f"{'-' * (width - 1)}:" if index in _NUMERIC else "-" * width
        for index, width in enumerate(widths)
    ]
    return f"| {' | '.join(rules)} |"


def _number(value: float) -> str:
    """Three digits that count."""
    if abs(value) >= 100:  # noqa: PLR2004 - three digits before the point are enough
        return f"{value:,.0f}"
    return f"{value:.3g}"
