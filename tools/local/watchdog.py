"""Kills what the emulator started once the emulator is gone, however it went.

A pipe tells it, on every Unix: the end comes even when the emulator was killed outright.
(PR_SET_PDEATHSIG is Linux only, and a sandbox cannot watch for itself while it is frozen.)
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Self

FAREWELL = 5.0


class Watchdog:
    """A small process that knows which process groups may not outlive this one."""

    def __enter__(self) -> Self:
        # A session of its own: Ctrl-C must not reach it before it has done its work.
        self._process = subprocess.Popen(
            [sys.executable, "-IS", __file__],
            stdin=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=FAREWELL)

    def watch(self, group: int) -> None:
        self._toggle(group)

    def forget(self, group: int) -> None:
        self._toggle(group)

    def _toggle(self, group: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"%d\n" % group)


def main() -> None:
    """Read process groups, one a line, a second mention forgetting it; at the end kill the rest."""
    groups: set[int] = set()
    for line in sys.stdin:
        groups ^= {int(line)}
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
