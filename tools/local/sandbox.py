"""A sandbox: one process, and its current invocations.

It follows Lambda's rules as far as a function can observe them: one invocation at a time, from its
delivery to the runtime's next poll; frozen in between; killed at the deadline. With a concurrency
above one (Lambda Managed Instances) an invocation ends with its answer, the process is never
frozen, and a deadline ends only the invocation.
"""

import asyncio
import time
from collections.abc import Callable
from enum import StrEnum
from http import HTTPStatus
from uuid import uuid4

from local import reports
from local.exceptions import FunctionError, Refused
from local.flight import Flight
from local.invocation import Invocation
from local.log import Log, named
from local.options import Options
from local.process import Process

# The time that Lambda allows for init, in addition to the function's timeout.
INIT_LIMIT = 10.0
# The time between a restore from a snapshot and the runtime's first poll.
RESTORE_LIMIT = 10.0
# The time for bytes that a process wrote before its end to reach the client.
LAST_BYTES = 2.0
TRUNCATED = "Runtime.TruncatedResponse"


class State(StrEnum):
    """The state of a sandbox.

    * **starting** - its runtime has not polled for an invocation yet.
    * **idle** - it waits for an invocation.
    * **busy** - it has invocations.
    * **frozen** - a user stopped it; it gets no invocations until it is thawed.
    * **dead** - its process has ended, or is being killed.
    """

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    FROZEN = "frozen"
    DEAD = "dead"


class Sandbox:
    """A sandbox from its cold start to its end."""

    def __init__(
        self,
        name: str,
        source: int,
        options: Options,
        log: Log,
        on_idle: Callable[[], None],
        *,
        clock_offset: float = 0.0,
    ) -> None:
        self.name = name
        self.id = uuid4().hex  # names repeat when the emulator starts again
        self.clock_offset = clock_offset
        self.source = source
        self.used_at = self.created_at = time.monotonic()
        self._options = options
        self._log = named(log, name)
        self._on_idle = on_idle
        self._one_at_a_time = options.concurrency == 1
        self._process: Process | None = None
        self._began_at = self.created_at
        self._restoring: asyncio.TimerHandle | None = None
        self._init_seconds: float | None = None
        self.init_over = asyncio.Event()
        self.init_failure: FunctionError | None = None
        self._reported = False
        self._flights: dict[str, Flight] = {}
        self._undelivered: asyncio.Queue[Flight] = asyncio.Queue()
        self._expired: set[str] = set()
        self._reaper: asyncio.TimerHandle | None = None
        self._frozen = self._retiring = self._dead = False

    @property
    def state(self) -> State:
        if self._dead:
            return State.DEAD
        if self._frozen:
            return State.FROZEN
        if self._init_seconds is None:
            return State.STARTING
        return State.BUSY if self._flights else State.IDLE

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def invocations(self) -> list[Invocation]:
        return [flight.invocation for flight in self._flights.values()]

    @property
    def room(self) -> int:
        """The number of further invocations that it accepts now."""
        if self._dead or self._frozen or self._retiring:
            return 0
        return self._options.concurrency - len(self._flights)

    @property
    def finishing(self) -> bool:
        """True if every invocation is answered and the runtime's next poll is due."""
        return self.state is State.BUSY and all(
            flight.completed for flight in self._flights.values()
        )

    # Its process, from cold start to end

    async def run(self, process: Process) -> None:
        """Log the output of the process until it ends."""
        self._process = process
        self._settle()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._copy_output(process))
            status = await process.wait()
        await self.end(reports.exit_reason(status))

    async def end(self, reason: str) -> None:
        """Fail every invocation, since the process has ended."""
        if not self._dead:
            self._dead = True
            self._log(f"Error: Runtime exited: {reason}\tRuntime.ExitError")
            if self._init_seconds is None:
                self._fail_init("Runtime.ExitError", f"Runtime exited: {reason}")
        self._settle()
        for flight in self._flights.values():
            if not flight.claimed:
                flight.invocation.fail()
        await self._wait_for_last_bytes()
        for flight in list(self._flights.values()):
            flight.invocation.fail()
            self._close(flight, "Runtime.ExitError")

    async def _copy_output(self, process: Process) -> None:
        async for line in process.lines():
            self._log(line)

    async def _wait_for_last_bytes(self) -> None:
        try:
            async with asyncio.timeout(LAST_BYTES):
                for invocation in self.invocations:
                    await invocation.answered.wait()
        except TimeoutError:
            self._log("Error: a client was too slow to receive the end of its answer")

    # An invocation, from arrival to report

    def assign(self, invocation: Invocation) -> None:
        """Accept an invocation, to be delivered at the runtime's next poll."""
        flight = Flight(invocation)
        allowance = INIT_LIMIT if self._init_seconds is None else 0.0
        flight.limit(self._options.timeout + allowance, self._expire)
        self._flights[flight.request_id] = flight
        self._undelivered.put_nowait(flight)
        self._settle()

    async def next_flight(self) -> Flight:
        """Close the answered invocation, and wait for the next one, frozen meanwhile as on Lambda.

        Raises:
            Refused: the runtime has not answered its invocation yet.
        """
        if self._init_seconds is None:
            self._init_seconds = time.monotonic() - self._began_at
            self.init_over.set()
            if self._restoring:
                self._restoring.cancel()
        if self._one_at_a_time:
            self._close_answered()
        self._settle()
        while (flight := await self._undelivered.get()).failure:
            pass
        flight.deliver(self._options.timeout, self.clock_offset)
        flight.limit(self._options.timeout, self._expire)
        self._log(f"START RequestId: {flight.request_id} Version: $LATEST")
        return flight

    def claim(self, request_id: str, invocation_id: str) -> Flight:
        """Return the invocation that the runtime begins to answer, which it may do once.

        Raises:
            Refused: there is no such invocation, or it has timed out.
        """
        if request_id in self._expired:
            raise Refused(HTTPStatus.GONE, "InvokeTimeout", "the invocation has timed out")
        flight = self._flights.get(request_id)
        if flight is None:
            raise Refused(HTTPStatus.BAD_REQUEST, "InvalidRequestID", "no such invocation")
        flight.claim(invocation_id)
        return flight

    def complete(self, flight: Flight, failure: str | None = None) -> None:
        """Record that the runtime has answered; `failure` is the type of a reported error."""
        flight.completed = True
        flight.failure = flight.failure or failure
        if not self._one_at_a_time:
            self._close(flight)
            self._settle()

    def break_off(self, flight: Flight) -> None:
        """Record that an answer was truncated; Lambda resets a sandbox that does this."""
        flight.invocation.fail()
        if self._dead:
            return
        self._log(f"RequestId: {flight.request_id} Error: {TRUNCATED}: the answer has no end")
        if self._one_at_a_time and self._process:
            self._process.kill()
        else:
            self.complete(flight, TRUNCATED)

    def fail_init(self, error_type: str, message: str) -> None:
        """Record that the runtime could not start.

        Raises:
            Refused: the runtime has started.
        """
        if self._init_seconds is not None:
            raise Refused(HTTPStatus.FORBIDDEN, "InvalidStateTransition", "init is over")
        self._fail_init(error_type, message)
        self.kill()

    def restore(self) -> None:
        """Record that the runtime is a copy of its snapshot, and limit the time to its first poll.

        Raises:
            Refused: it is no copy, or has started.
        """
        if not self._options.snapstart or self._restoring or self._init_seconds is not None:
            raise Refused(HTTPStatus.FORBIDDEN, "InvalidStateTransition", "nothing is restored")
        self._began_at = time.monotonic()
        loop = asyncio.get_running_loop()
        self._restoring = loop.call_later(RESTORE_LIMIT, self._expire_restore)

    def fail_restore(self, error_type: str, message: str) -> None:
        """Record that a copy of the snapshot could not start.

        Raises:
            Refused: it is no copy, or has started.
        """
        if self._restoring is None:
            raise Refused(HTTPStatus.FORBIDDEN, "InvalidStateTransition", "nothing is restored")
        self.fail_init(error_type, message)

    def _expire_restore(self) -> None:
        if self._dead:
            return
        self._log(f"Restore timed out after {RESTORE_LIMIT:.2f} seconds")
        self.fail_init(reports.TIMEOUT, "the restore took too long")

    def _close_answered(self) -> None:
        for flight in list(self._flights.values()):
            if flight.completed:
                self._close(flight)
            elif flight.delivered_at is not None:
                message = f"invocation {flight.request_id} has not been answered"
                raise Refused(HTTPStatus.FORBIDDEN, "InvalidStateTransition", message)

    def _close(self, flight: Flight, failure: str | None = None) -> None:
        flight.unlimit()
        self.used_at = time.monotonic()
        if self._flights.pop(flight.request_id, None) is None or flight.delivered_at is None:
            return
        report = reports.report(
            flight.request_id,
            self.used_at - flight.delivered_at,
            self._options.memory,
            self._process.peak_memory_mb if self._process else None,
            None if self._reported else self._init_seconds,
            restored=self._restoring is not None,
        )
        self._reported = True
        self._log(f"END RequestId: {flight.request_id}")
        self._log(report + reports.status(flight.failure or failure))

    def _expire(self, flight: Flight) -> None:
        flight.failure = reports.TIMEOUT
        flight.invocation.fail()
        seconds = self._options.timeout
        self._log(f"{flight.request_id} Task timed out after {seconds:.2f} seconds")
        if self._init_seconds is None:
            self._fail_init(reports.TIMEOUT, "it took too long")
        if self._one_at_a_time or self._init_seconds is None:
            self.kill()
        else:
            self._expired.add(flight.request_id)
            self._close(flight)
            self._settle()

    def _fail_init(self, error_type: str, message: str) -> None:
        seconds, restored = time.monotonic() - self._began_at, self._restoring is not None
        self._log(reports.init_report(seconds, error_type, restored=restored))
        if self._restoring:
            self._restoring.cancel()
        self.init_failure = FunctionError(error_type, message)
        self.init_over.set()

    # Commands of the control page and the pool

    def kill(self) -> None:
        self._dead = True
        self._settle()

    def freeze(self) -> None:
        self._frozen = True
        self._settle()

    def thaw(self) -> None:
        self._frozen = False
        self._settle()

    def retire(self) -> None:
        """End it as soon as it has no invocation."""
        self._retiring = True
        self._settle()

    def _settle(self) -> None:
        """Make the process and the idle timer follow the state."""
        if self._reaper:
            self._reaper.cancel()
        idle = self.state is State.IDLE
        if idle and self._retiring:
            self._dead = True
        if self._process is None:
            return
        if self._dead:
            self._process.kill()
        elif self._frozen or (idle and self._one_at_a_time):
            self._process.stop()
        else:
            self._process.resume()
        if idle:
            loop = asyncio.get_running_loop()
            self._reaper = loop.call_later(self._options.keep_warm, self.retire)
            self._on_idle()
