"""Where the emulator's lines go: any callable that takes one."""

import sys
from collections.abc import Callable
from typing import TypeAlias

Log: TypeAlias = Callable[[str], None]

# ANSI colours that can be read on a light and on a dark ground.
COLOURS = (36, 35, 34, 32, 33)


def named(log: Log, name: str) -> Log:
    """Put a name in front of every line, also of those that one record brings along."""

    def put(record: str) -> None:
        for line in record.splitlines() or [""]:
            log(f"{name} | {line}")

    return put


class HeldBack:
    """A log that keeps its lines until it is released, and then passes them on."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._kept: list[str] | None = []

    def __call__(self, line: str) -> None:
        if self._kept is None:
            self._log(line)
        else:
            self._kept.append(line)

    def release(self) -> None:
        """Pass on what was kept, and from now on every line as it comes."""
        kept, self._kept = self._kept or [], None
        for line in kept:
            self._log(line)


def terminal(line: str) -> None:
    """Print a line at once; on a terminal its name is coloured, each sandbox's in its own way."""
    name, bar, text = line.partition(" | ")
    if bar and sys.stdout.isatty():
        colour = COLOURS[sum(name.encode()) % len(COLOURS)]
        line = f"\033[{colour}m{name} |\033[0m {text}"
    print(line, flush=True)
