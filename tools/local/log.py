"""The emulator's log: a callable that takes one line."""

import sys
from collections.abc import Callable
from typing import TypeAlias

Log: TypeAlias = Callable[[str], None]

# ANSI colours that are legible on a light and on a dark background.
COLOURS = (36, 35, 34, 32, 33)


def named(log: Log, name: str) -> Log:
    """Return a log that puts a name in front of every line, also within a record."""

    def put(record: str) -> None:
        for line in record.splitlines() or [""]:
            log(f"{name} | {line}")

    return put


class BufferedLog:
    """A log that buffers its lines until `release`, and afterwards passes each on at once."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._buffer: list[str] | None = []

    def __call__(self, line: str) -> None:
        if self._buffer is None:
            self._log(line)
        else:
            self._buffer.append(line)

    def release(self) -> None:
        """Pass on the buffered lines, and stop buffering."""
        lines, self._buffer = self._buffer or [], None
        for line in lines:
            self._log(line)


def terminal(line: str) -> None:
    """Print a line at once; on a terminal, colour its name by the sandbox."""
    name, bar, text = line.partition(" | ")
    if bar and sys.stdout.isatty():
        colour = COLOURS[sum(name.encode()) % len(COLOURS)]
        line = f"\033[{colour}m{name} |\033[0m {text}"
    print(line, flush=True)
