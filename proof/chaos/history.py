"""The harness's own record: each stream's history, and the number of times of each fault."""

import time
from collections import Counter, defaultdict

from proof.chaos.faults import Fault


class History:
    """All that the harness did and saw, stream by stream, in times of the monotonic clock."""

    def __init__(self) -> None:
        self.injected: Counter[Fault] = Counter()
        self._began_at = time.monotonic()
        self._lines: defaultdict[int, list[str]] = defaultdict(list)

    def note(self, number: int, what: str) -> None:
        """Note something about a stream."""
        seconds = time.monotonic() - self._began_at
        self._lines[number].append(f"{seconds:9.3f}  {what}")

    def inject(self, number: int, fault: Fault, where: str) -> None:
        """Note that a fault was done, and count it."""
        self.injected[fault] += 1
        self.note(number, f"FAULT {fault}: {where}")

    def of(self, number: int) -> str:
        """Everything about one stream, a line each, in order."""
        return "\n".join(self._lines[number])
