"""Kills the emulator's child processes once the emulator has ended, even if it was killed.

Its standard input is a pipe that closes with the emulator, on every Unix. PR_SET_PDEATHSIG exists
on Linux only, and a frozen sandbox cannot watch the emulator itself.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Self

STOP_LIMIT = 5.0


class Watchdog:
    """A small process that kills the watched process groups when this process ends."""

    def __enter__(self) -> Self:
        # In a session of its own Ctrl-C does not end it before it has killed the others.
        self._process = subprocess.Popen(
            [sys.executable, "-IS", __file__],
            stdin=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=STOP_LIMIT)

    def watch(self, group: int) -> None:
        self._toggle(group)

    def forget(self, group: int) -> None:
        self._toggle(group)

    def _toggle(self, group: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"%d\n" % group)


def main() -> None:
    """Read process groups, one a line, and kill them at the end; a second mention removes one."""
    groups: set[int] = set()
    for line in sys.stdin:
        groups ^= {int(line)}
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
