"""One execution environment: a process, and the invocations it has in hand.

Lambda's rules, as far as a function can tell: one invocation at a time, from its delivery to the
runtime's next ask for work; frozen in between; killed at the deadline. With a concurrency above one
(Lambda Managed Instances) an invocation ends with its answer, the process is never frozen, and a
deadline ends the invocation only.
"""

import asyncio
import time
from collections.abc import Callable
from enum import StrEnum
from http import HTTPStatus

from local import reports
from local.exceptions import FunctionError, Refused
from local.flight import Flight
from local.invocation import Invocation
from local.log import Log, named
from local.options import Options
from local.process import Process

# What Lambda allows for imports; beyond it they count against the function's timeout.
INIT_LIMIT = 10.0
# How long bytes that a process wrote before its end may take to reach the client.
LAST_BYTES = 2.0
TRUNCATED = "Runtime.TruncatedResponse"


class State(StrEnum):
    """What a sandbox is doing.

    * **starting** - It has not asked for work yet.
    * **idle** - It waits for an invocation.
    * **busy** - It has invocations in hand.
    * **frozen** - A person stopped it; it gets no invocations until it is thawed.
    * **dead** - Its process has ended, or is being killed.
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
        self.clock_offset = clock_offset
        self.source = source
        self.used_at = self.created_at = time.monotonic()
        self._options = options
        self._log = named(log, name)
        self._on_idle = on_idle
        self._one_at_a_time = options.concurrency == 1
        self._process: Process | None = None
        self._init_seconds: float | None = None
        self.init_over = asyncio.Event()
        self.init_failure: FunctionError | None = None
        self._reported = False
        self._flights: dict[str, Flight] = {}
        self._undelivered: asyncio.Queue[Flight] = asyncio.Queue()
        self._expired: set[str] = set()
        self._reaper: asyncio.TimerHandle | None = None
        self._held = self._retiring = self._dead = False

    @property
    def state(self) -> State:
        if self._dead:
            return State.DEAD
        if self._held:
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
        """How many more invocations it takes now."""
        if self._dead or self._held or self._retiring:
            return 0
        return self._options.concurrency - len(self._flights)

    @property
    def finishing(self) -> bool:
        """Whether it has answered, and has only to ask for more."""
        return self.state is State.BUSY and all(
            flight.completed for flight in self._flights.values()
        )

    # Its process, from cold start to end

    async def run(self, process: Process) -> None:
        """Follow the process to its end."""
        self._process = process
        self._settle()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._copy_output(process))
            status = await process.wait()
        await self.end(reports.exit_reason(status))

    async def end(self, reason: str) -> None:
        """Tell everyone who waits that there is no process any more."""
        if not self._dead:
            self._dead = True
            self._log(f"Error: Runtime exited: {reason}\tRuntime.ExitError")
            if self._init_seconds is None:
                self._fail_init("Runtime.ExitError", f"Runtime exited: {reason}")
        self._settle()
        for flight in self._flights.values():
            if not flight.claimed:
                flight.invocation.fail()
        await self._pass_on_last_bytes()
        for flight in list(self._flights.values()):
            flight.invocation.fail()
            self._close(flight, "Runtime.ExitError")

    async def _copy_output(self, process: Process) -> None:
        async for line in process.lines():
            self._log(line)

    async def _pass_on_last_bytes(self) -> None:
        try:
            async with asyncio.timeout(LAST_BYTES):
                for invocation in self.invocations:
                    await invocation.answered.wait()
        except TimeoutError:
            self._log("Error: a client was too slow for the end of its answer")

    # An invocation, from arrival to report

    def assign(self, invocation: Invocation) -> None:
        """Take an invocation; it is delivered when the runtime asks for one."""
        flight = Flight(invocation)
        allowance = INIT_LIMIT if self._init_seconds is None else 0.0
        flight.limit(self._options.timeout + allowance, self._expire)
        self._flights[flight.request_id] = flight
        self._undelivered.put_nowait(flight)
        self._settle()

    async def next_flight(self) -> Flight:
        """End what the runtime has answered and wait, frozen if Lambda would freeze it, for more.

        Raises:
            Refused: it has something in hand that it has not answered.
        """
        if self._init_seconds is None:
            self._init_seconds = time.monotonic() - self.created_at
            self.init_over.set()
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
        """Find the invocation that the runtime is about to answer, which it may do once.

        Raises:
            Refused: there is no such invocation, or it is too late to answer it.
        """
        if request_id in self._expired:
            raise Refused(HTTPStatus.GONE, "InvokeTimeout", "the invocation has timed out")
        flight = self._flights.get(request_id)
        if flight is None:
            raise Refused(HTTPStatus.BAD_REQUEST, "InvalidRequestID", "no such invocation")
        flight.claim(invocation_id)
        return flight

    def complete(self, flight: Flight, failure: str | None = None) -> None:
        """Note that the runtime has answered, if only with an error of this type."""
        flight.completed = True
        flight.failure = flight.failure or failure
        if not self._one_at_a_time:
            self._close(flight)
            self._settle()

    def break_off(self, flight: Flight) -> None:
        """Note that an answer has no end; Lambda resets a sandbox that leaves one so."""
        flight.invocation.fail()
        if self._dead:
            return
        self._log(f"RequestId: {flight.request_id} Error: {TRUNCATED}: the answer broke off")
        if self._one_at_a_time and self._process:
            self._process.kill()
        else:
            self.complete(flight, TRUNCATED)

    def fail_init(self, error_type: str, message: str) -> None:
        """Note that the runtime could not start.

        Raises:
            Refused: it has started.
        """
        if self._init_seconds is not None:
            raise Refused(HTTPStatus.FORBIDDEN, "InvalidStateTransition", "init is over")
        self._fail_init(error_type, message)
        self.kill()

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
        self._log(reports.init_report(time.monotonic() - self.created_at, error_type))
        self.init_failure = FunctionError(error_type, message)
        self.init_over.set()

    # What a person or the pool does to it

    def kill(self) -> None:
        self._dead = True
        self._settle()

    def freeze(self) -> None:
        self._held = True
        self._settle()

    def thaw(self) -> None:
        self._held = False
        self._settle()

    def retire(self) -> None:
        """Have it end as soon as it has nothing in hand."""
        self._retiring = True
        self._settle()

    def _settle(self) -> None:
        """Bring process and idle timer in line with the state."""
        if self._reaper:
            self._reaper.cancel()
        idle = self.state is State.IDLE
        if idle and self._retiring:
            self._dead = True
        if self._process is None:
            return
        if self._dead:
            self._process.kill()
        elif self._held or (idle and self._one_at_a_time):
            self._process.stop()
        else:
            self._process.resume()
        if idle:
            loop = asyncio.get_running_loop()
            self._reaper = loop.call_later(self._options.keep_warm, self.retire)
            self._on_idle()
