"""Operating-system processes that end with the emulator."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from local.watchdog import Watchdog

READ_SIZE = 64 * 1024
PEAK_MEMORY = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


class Process:
    """A process in a session of its own, so that a signal reaches all its child processes.

    `ended` gives its exit status.
    """

    def __init__(
        self, pid: int, output: asyncio.StreamReader, ended: Awaitable[int], watchdog: Watchdog
    ) -> None:
        self.pid = pid
        self._output = output
        self._ended = asyncio.ensure_future(ended)
        self._watchdog = watchdog
        self._stopped = False
        watchdog.watch(pid)

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str] | None,
        watchdog: Watchdog,
        pass_fds: Sequence[int] = (),
    ) -> Self:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        assert process.stdout is not None
        return cls(process.pid, process.stdout, process.wait(), watchdog)

    @property
    def peak_memory_mb(self) -> int | None:
        """Its peak memory; None on a system without /proc."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return None
        found = PEAK_MEMORY.search(status)
        return int(found[1]) // 1024 if found else None

    async def lines(self) -> AsyncIterator[str]:
        """Yield its output, until it and its child processes have closed the pipe."""
        rest = b""
        while data := await self._output.read(READ_SIZE):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace")
        if rest:
            yield rest.decode(errors="replace")

    async def wait(self) -> int:
        """Wait for its end, kill its remaining child processes, and return the exit status."""
        status = await asyncio.shield(self._ended)
        self._signal(signal.SIGKILL)
        self._watchdog.forget(self.pid)
        return status

    def terminate(self) -> None:
        """Send SIGTERM to it and its child processes."""
        if not self._ended.done():
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        if not self._ended.done():
            self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """Suspend it, as Lambda freezes a sandbox."""
        if not self._stopped and not self._ended.done():
            self._stopped = True
            self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._stopped:
            self._stopped = False
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        # The group may have ended already, and macOS returns EPERM for a group of zombies.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
