"""Numbering: which of the steps of one name a call is."""

from collections import Counter
from itertools import count

from durable_stream.recorded import RecordedSteps


class Numbering:
    """Numbers the steps of one attempt, in the order in which they are asked for."""

    def __init__(self, recorded: RecordedSteps) -> None:
        self._recorded = recorded
        self._numbers: Counter[str] = Counter()
        self._given: set[str] = set()

    def next(self, stem: str) -> str:
        """The key of the next step of this stem."""
        self._numbers[stem] += 1
        return f"{stem}{self._numbers[stem]}"

    def of_call(self, stem: str, digest: str) -> str:
        """The key that this call had in an earlier attempt, or else an unused key.

        Work that is not replayed may come to its steps in another order, and to other steps.
        """
        for key in self._recorded.like(stem):
            if self._recorded.begun[key].call == digest and key not in self._given:
                break
        else:
            keys = (f"{stem}{number}" for number in count(1))
            key = next(k for k in keys if k not in self._recorded.begun and k not in self._given)
        self._given.add(key)
        return key
