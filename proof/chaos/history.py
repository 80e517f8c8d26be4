"""What happened to each stream, and how often each fault was done: the harness's own record."""

import time
from collections import Counter, defaultdict

from proof.chaos.faults import Fault


class History:
    """All that the harness did and saw, stream by stream. Times are of the monotonic clock."""

    def __init__(self) -> None:
        self.injected: Counter[Fault] = Counter()
        self._began_at = time.monotonic()
        self._lines: defaultdict[int, list[str]] = defaultdict(list)

    def note(self, number: int, what: str) -> None:
        """Remember something about a stream."""
        seconds = time.monotonic() - self._began_at
        self._lines[number].append(f"{seconds:9.3f}  {what}")

    def inject(self, number: int, fault: Fault, where: str) -> None:
        """Remember that a fault was done, and count it."""
        self.injected[fault] += 1
        self.note(number, f"FAULT {fault}: {where}")

    def of(self, number: int) -> str:
        """Everything about one stream, a line each, in order."""
        return "\n".join(self._lines[number])
