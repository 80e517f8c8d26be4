"""The printed table: one line a measurement, with its result against its limit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proof.bench.samples import Sample

HEADINGS = ("what", "ours", "against", "ratio", "half of all runs", "target", "")
_NUMERIC = range(1, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement.

    With `theirs`, the ratio of the two counts, round by round; without, the number itself.
    `limit` is the highest value allowed, `aim` the value we would like; without a limit, the row
    informs and judges nothing.
    """

    what: str
    ours: Sample
    unit: str
    theirs: Sample | None = None
    limit: float | None = None
    aim: float | None = None

    @property
    def judged(self) -> Sample:
        """The numbers that the limit is for."""
        return self.ours if self.theirs is None else Sample.ratios(self.ours, self.theirs)

    @property
    def missed(self) -> bool:
        """True if the limit is exceeded."""
        return self.limit is not None and self.judged.median > self.limit

    def cells(self) -> Sequence[str]:
        """The line, column by column as in HEADINGS."""
        low, high = self.judged.quartiles
        return (
            self.what,
            f"{_number(self.ours.median)} {self.unit}",
            "" if self.theirs is None else f"{_number(self.theirs.median)} {self.unit}",
            "" if self.theirs is None else f"{self.judged.median:.2f}",
            f"{_number(low)} to {_number(high)}" if len(self.ours.values) > 1 else "",
            self._target(),
            "" if self.limit is None else "MISSED" if self.missed else "ok",
        )

    def _target(self) -> str:
        if self.limit is None:
            return ""
        aim = "" if self.aim is None else f", aim {self.aim:g}"
        return f"≤ {self.limit:g}{aim}"


def render(title: str, rows: Iterable[Row]) -> str:
    """A table in plain text, under its title."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join([title, *(_line(cells, widths) for cells in lines)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if index in _NUMERIC else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return ("  " + "  ".join(padded)).rstrip()


def _number(value: float) -> str:
    """Three digits that count."""
    if abs(value) >= 100:  # noqa: PLR2004 - three digits before the point are enough
        return f"{value:,.0f}"
    return f"{value:.3g}"
