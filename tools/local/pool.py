"""The sandboxes of the function: cold starts, reuse, and the concurrency limit."""

import asyncio
import socket
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from itertools import count

from local.environment import FUNCTION_ARN, sandbox_environment
from local.exceptions import CannotStart, FunctionError, SettingRefused, Throttled
from local.http1 import listen
from local.invocation import Invocation
from local.log import Log
from local.options import Options
from local.ports import LOOPBACK
from local.process import Process
from local.runtime_api import RuntimeApi
from local.sandbox import Sandbox
from local.snapshot import Snapshots
from local.source import fingerprint
from local.watchdog import Watchdog

# Dead sandboxes that the control page still lists, so that a user sees the effect of a kill.
DEAD_LISTED = 3
START_LIMIT = 30.0
# The error type with which the function refuses a setting.
SETTING_ERROR = "Function.ValueError"
# About one network round trip to AWS.
TURNAROUND = 0.1


class Pool:
    """The sandboxes of the function: the living, and the last few dead ones."""

    def __init__(
        self, options: Options, backend: Mapping[str, str], watchdog: Watchdog, log: Log
    ) -> None:
        self._options = options
        self._backend = backend
        self._watchdog = watchdog
        self._log = log
        self._numbers = count(1)
        self._became_idle = asyncio.Event()
        self._living: dict[Sandbox, asyncio.Task[None]] = {}
        self._dead: deque[Sandbox] = deque(maxlen=DEAD_LISTED)
        self._snapshots = Snapshots(options, backend, watchdog, log)

    @property
    def sandboxes(self) -> list[Sandbox]:
        return sorted([*self._dead, *self._living], key=lambda sandbox: sandbox.created_at)

    async def submit(self, invocation: Invocation) -> None:
        """Assign an invocation to the most recently used idle sandbox, or to a new one.

        Raises:
            Throttled: the concurrency limit is reached.
        """
        source = fingerprint(self._options.task_root)
        for sandbox in list(self._living):
            if sandbox.source != source:
                sandbox.retire()
        chosen = self._warm() or await self._soon_warm() or self._cold_start(source)
        chosen.assign(invocation)

    async def warm_up(self) -> None:
        """Start a sandbox before it is needed, to check that the function starts.

        Raises:
            CannotStart: the function does not start; the message says why.
        """
        sandbox = self._cold_start(fingerprint(self._options.task_root))
        try:
            async with asyncio.timeout(START_LIMIT):
                await sandbox.init_over.wait()
        except TimeoutError:
            message = f"the function did not finish its start within {START_LIMIT:.0f} s"
            raise CannotStart(message) from None
        if failure := sandbox.init_failure:
            refusal = SettingRefused if failure.error_type == SETTING_ERROR else CannotStart
            raise refusal(f"the function does not start: {failure}")

    async def close(self) -> None:
        """Kill every sandbox, and wait until all have ended."""
        for sandbox in self._living:
            sandbox.kill()
        await self._snapshots.close()
        await asyncio.gather(*self._living.values())

    def _warm(self) -> Sandbox | None:
        warm = [sandbox for sandbox in self._living if sandbox.room > 0]
        return max(warm, key=lambda sandbox: sandbox.used_at, default=None)

    async def _soon_warm(self) -> Sandbox | None:
        """Wait for a sandbox that has answered; after a network round trip it would be idle."""
        with suppress(TimeoutError):
            async with asyncio.timeout(TURNAROUND):
                while any(sandbox.finishing for sandbox in self._living):
                    self._became_idle.clear()
                    await self._became_idle.wait()
                    if warm := self._warm():
                        return warm
        return None

    def _cold_start(self, source: int) -> Sandbox:
        limit = self._options.sandboxes * self._options.concurrency
        if sum(len(sandbox.invocations) for sandbox in self._living) >= limit:
            raise Throttled
        number, offsets = next(self._numbers), self._options.clock_offsets
        sandbox = Sandbox(
            f"sandbox-{number}",
            source,
            self._options,
            self._log,
            self._became_idle.set,
            clock_offset=offsets[number % len(offsets)],
        )
        self._living[sandbox] = asyncio.create_task(self._live(sandbox))
        return sandbox

    async def _live(self, sandbox: Sandbox) -> None:
        with socket.create_server((LOOPBACK, 0)) as listener:
            async with listen(listener, RuntimeApi(sandbox, FUNCTION_ARN, self._log)):
                try:
                    process = await self._start_process(listener, sandbox)
                except OSError as error:
                    await sandbox.end(str(error))
                except FunctionError as error:
                    sandbox.fail_init(error.error_type, str(error))
                    await sandbox.end(str(error))
                else:
                    await sandbox.run(process)
        del self._living[sandbox]
        self._dead.append(sandbox)

    async def _start_process(self, listener: socket.socket, sandbox: Sandbox) -> Process:
        """Start the bootstrap with the interpreter as its argument, as an exec wrapper.

        With a snapshot, copy the process that the bootstrap has started for it.
        """
        environment = sandbox_environment(
            self._options,
            f"{LOOPBACK}:{listener.getsockname()[1]}",
            self._backend,
            sandbox_id=sandbox.id,
            clock_offset=sandbox.clock_offset,
        )
        if self._options.snapstart:
            return await self._snapshots.restore(sandbox.source, environment)
        root = self._options.task_root.resolve()
        command = [str(root / "bootstrap"), sys.executable]
        return await Process.start(command, cwd=root, env=environment, watchdog=self._watchdog)
