"""The snapshot of an initialised function, from which sandboxes are restored (`--snapstart`).

Lambda takes it when a version is published, the emulator when the first sandbox is needed. It is a
process that `zygote.py` keeps at its snapshot.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from local.environment import FUNCTION_ARN, sandbox_environment
from local.exceptions import FunctionError
from local.http1 import listen
from local.log import Log
from local.options import Options
from local.ports import LOOPBACK
from local.process import Process
from local.runtime_api import RuntimeApi
from local.sandbox import Sandbox, State
from local.watchdog import Watchdog

PYTHON = Path(__file__).with_name("zygote.sh")


class Snapshots:
    """The snapshot of the function's newest source."""

    def __init__(
        self, options: Options, backend: Mapping[str, str], watchdog: Watchdog, log: Log
    ) -> None:
        self._parts = options, backend, watchdog, log
        self._source: int | None = None
        self._taken: asyncio.Task[Snapshot] | None = None
        self._closing: list[asyncio.Task[None]] = []

    async def restore(self, source: int, environment: Mapping[str, str]) -> Process:
        """Start a sandbox of this source; raises FunctionError if that fails."""
        if self._taken is None or source != self._source or _is_over(self._taken):
            self._drop()
            self._source = source
            self._taken = asyncio.create_task(Snapshot.take(*self._parts))
        taken = self._taken
        # Other sandboxes wait for the same snapshot, so waiting may end and taking may not.
        await asyncio.wait([taken])
        if taken.cancelled():
            raise _ended()
        return await taken.result().restore(environment)

    async def close(self) -> None:
        """End the processes of all snapshots."""
        self._drop()
        await asyncio.gather(*self._closing)

    def _drop(self) -> None:
        if self._taken is not None:
            self._taken.cancel()
            self._closing.append(asyncio.create_task(_close(self._taken)))
            self._taken = None


class Snapshot:
    """A process that has initialised the function, and is copied for each sandbox."""

    def __init__(
        self, options: Options, backend: Mapping[str, str], watchdog: Watchdog, sandbox: Sandbox
    ) -> None:
        self._options = options
        self._backend = backend
        self._watchdog = watchdog
        self._sandbox = sandbox
        self._environment: Mapping[str, str] = {}
        self._control, self._theirs = socket.socketpair()
        self._control.settimeout(0)
        self._restoring = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None

    @classmethod
    async def take(
        cls, options: Options, backend: Mapping[str, str], watchdog: Watchdog, log: Log
    ) -> Self:
        """Initialise the function; raises FunctionError if that fails."""
        sandbox = Sandbox("snapshot", 0, options, log, on_idle=lambda: None)
        snapshot = cls(options, backend, watchdog, sandbox)
        with socket.create_server((LOOPBACK, 0)) as listener:
            async with listen(listener, RuntimeApi(sandbox, FUNCTION_ARN, log)):
                try:
                    await snapshot._initialise(f"{LOOPBACK}:{listener.getsockname()[1]}")
                except BaseException:
                    await snapshot.close()
                    raise
        return snapshot

    @property
    def is_alive(self) -> bool:
        return self._sandbox.state is not State.DEAD

    async def restore(self, environment: Mapping[str, str]) -> Process:
        """Copy a sandbox, with these variables; raises FunctionError if the process has ended."""
        changed = dict(environment.items() - self._environment.items())
        output, its_output = os.pipe()
        status, its_status = os.pipe()
        async with self._restoring:
            try:
                lines, reports = await _reader(output), await _reader(status)
                message = json.dumps(changed).encode()
                socket.send_fds(self._control, [message], [its_output, its_status])
            finally:
                os.close(its_output)
                os.close(its_status)
            pid = await reports.readline()
        if not pid:
            raise _ended()
        return Process(int(pid), lines, _exit_status(reports), self._watchdog)

    async def close(self) -> None:
        """End the process; its sandboxes go on."""
        self._sandbox.kill()
        self._control.close()
        self._theirs.close()
        if self._running is not None:
            await self._running

    async def _initialise(self, runtime_api: str) -> None:
        root = self._options.task_root.resolve()
        self._environment = sandbox_environment(
            self._options, runtime_api, self._backend, sandbox_id=self._sandbox.id
        )
        theirs = self._theirs.fileno()
        process = await Process.start(
            [str(root / "bootstrap"), str(PYTHON)],
            cwd=root,
            env={
                **self._environment,
                "LOCAL_PYTHON": sys.executable,
                "LOCAL_SNAPSHOT": str(theirs),
            },
            watchdog=self._watchdog,
            pass_fds=[theirs],
        )
        self._theirs.close()
        self._running = asyncio.create_task(self._sandbox.run(process))
        if not await self._is_taken():
            self._sandbox.kill()
            await self._running
            message = "the runtime has asked for an invocation without waiting for a restore"
            raise self._sandbox.init_failure or FunctionError("Runtime.Unknown", message)

    async def _is_taken(self) -> bool:
        """Wait for the snapshot, or for another end of the initialisation."""
        loop = asyncio.get_running_loop()
        ready = asyncio.create_task(loop.sock_recv(self._control, 1))
        over = asyncio.create_task(self._sandbox.init_over.wait())
        try:
            await asyncio.wait([ready, over], return_when=asyncio.FIRST_COMPLETED)
            return ready.done() and bool(ready.result())
        finally:
            ready.cancel()
            over.cancel()


def _is_over(taken: "asyncio.Task[Snapshot]") -> bool:
    if not taken.done():
        return False
    return taken.cancelled() or taken.exception() is not None or not taken.result().is_alive


async def _close(taken: "asyncio.Task[Snapshot]") -> None:
    await asyncio.wait([taken])
    if not taken.cancelled() and taken.exception() is None:
        await taken.result().close()


def _ended() -> FunctionError:
    return FunctionError("Runtime.ExitError", "the process of the snapshot has ended")


async def _reader(descriptor: int) -> asyncio.StreamReader:
    """Return a reader that owns this end of a pipe."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
    )
    return reader


async def _exit_status(reports: asyncio.StreamReader) -> int:
    # To its end, because only there the pipe is closed.
    status = await reports.read()
    return int(status) if status else -signal.SIGKILL
