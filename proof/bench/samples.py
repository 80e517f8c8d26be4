"""Measuring several things in turns."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sample:
    """The same thing measured several times, in any unit."""

    values: Sequence[float]

    @classmethod
    def ratios(cls, numerators: Self, denominators: Self) -> Self:
        """Divide round by round: a slowdown of a whole round cancels out."""
        pairs = zip(numerators.values, denominators.values, strict=True)
        return cls([numerator / denominator for numerator, denominator in pairs])

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Half of the values lie between these two."""
        if len(self.values) == 1:
            return self.values[0], self.values[0]
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high

    def percentile(self, hundredths: int) -> float:
        """The value below which so many hundredths of all values lie."""
        return statistics.quantiles(self.values, n=100, method="inclusive")[hundredths - 1]


def in_turns(rounds: int, *measures: Callable[[], T]) -> list[list[T]]:
    """The results of each measure, round by round.

    Taking turns spreads the machine's other work over all of them. Every other round runs
    backwards, so that none always follows the same one.
    """
    results: list[list[T]] = [[] for _ in measures]
    turns = list(zip(measures, results, strict=True))
    for _ in range(rounds):
        for measure, found in turns:
            found.append(measure())
        turns.reverse()
    return results
