"""Between the sandboxes and DynamoDB: a proxy that knows each call's process, and does faults.

sandbox ──▶ proxy ──▶ DynamoDB Local
        ①         ②
        ◀──       ◀──
        ④         ③
before the put ①, after the put and before its answer ③, as it is acknowledged ④
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from proof.chaos.faults import CANCELS, FREEZES, SILENCES, TO_THE_PROCESS, Fault
from proof.chaos.history import History
from proof.chaos.listening import listening
from proof.chaos.message import Message, answer_of, read, refusal
from proof.chaos.plan import Plan
from proof.chaos.sandboxes import LONG_SECONDS, Sandboxes
from proof.chaos.traffic import Call, Ledger, Traffic, parse
from tests.event_source import TERMINAL

# A client misses the frozen sandbox after seven seconds and comes back to another. If the clock of
# that one is behind, it listens for a time of its own. And it may have to start.
TAKE_OVER_SECONDS = 20.0
# A stop has to find a sandbox, before a reader's sandbox believes that the writer is gone.
CANCEL_SECONDS = 3.5
SLOW_SECONDS = 0.6
# Longer than the client waits for an answer (durable_stream.aws.api).
LATE_SECONDS = 2.0
# More than two leases: a process that gives up or takes over for silence alone does so by then.
SILENT_SECONDS = 10.0
# More than the two attempts of a call, so that the application must bear some;
# and more than it bears.
LASTING = {
    Fault.REFUSE: 4,
    Fault.THROTTLE: 4,
    Fault.FAIL: 4,
    Fault.QUERY_FAILS: 4,
    Fault.OUTAGE: 12,
}

_THROTTLED = "ProvisionedThroughputExceededException"
_FAILED = "InternalServerError"
_BEFORE_PUT = frozenset({Fault.KILL_BEFORE_PUT, Fault.FREEZE_BEFORE_PUT})
_TABLE_CALLS = frozenset({"CreateTable", "UpdateTimeToLive"})
# The faults that wait for a suitable read, and the number of items that it must find.
_BEHIND = frozenset({Fault.STALE_QUERY, Fault.GAPPED_QUERY})
_FEWEST = {Fault.STALE_QUERY: 1, Fault.GAPPED_QUERY: 2}


@dataclass(frozen=True, slots=True)
class Passing:
    """A call on its way: its request, and the plan that it belongs to."""

    request: Message
    call: Call
    number: int
    traffic: Traffic


class Store:
    """The proxy. `url` is where the sandboxes find it."""

    def __init__(
        self,
        upstream: str,
        plans: Mapping[int, Plan],
        *,
        ledger: Ledger,
        history: History,
        sandboxes: Sandboxes,
    ) -> None:
        host, _, port = upstream.removeprefix("http://").partition(":")
        self._upstream = (host, int(port))
        self._plans = plans
        self._ledger = ledger
        self.history = history
        self.sandboxes = sandboxes
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Serve while the block runs."""

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with closing(writer), suppress(ConnectionError, EOFError):
                await self._converse(reader, writer)

        async with listening(converse) as address:
            self.url = f"http://{address}"
            yield

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        with closing(up_writer):
            exchange = Exchange(self, up_reader, up_writer, writer)
            while await exchange.pass_on(await read(reader)):
                pass

    def admit(self, request: Message) -> tuple[Passing, Fault | None] | None:
        """Count a call, and find its fault; None for a call that is about no plan's stream."""
        operation = request.headers.get("x-amz-target", "").rpartition(".")[2]
        if operation in _TABLE_CALLS:
            return None
        call = parse(operation, request.headers.get("user-agent", ""), request.body)
        self.sandboxes.meet(call.pid)
        number = self._ledger.number_of(call)
        if number is None or number not in self._plans:
            return None
        plan, traffic = self._plans[number], self._ledger.traffic(number)
        traffic.streams.add(call.stream_id)
        traffic.calls[call.operation] = traffic.calls.get(call.operation, 0) + 1
        return Passing(request, call, number, traffic), _fault(plan, call, traffic)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One connection of a sandbox, and ours to DynamoDB behind it."""

    store: Store
    up_reader: asyncio.StreamReader
    up_writer: asyncio.StreamWriter
    down: asyncio.StreamWriter

    async def pass_on(self, request: Message) -> bool:
        """Pass one call on, or do its fault; False if the connection is to be closed."""
        admitted = self.store.admit(request)
        if admitted is None:
            self._answer(await self._carry_out(request))
            return True
        passing, fault = admitted
        if passing.call.kind == "cancelled":
            await passing.traffic.cancelling(passing.call)
        if fault is None:
            self._answer(await self._settled(passing))
            return True
        return await self._do(fault, passing)

    async def _do(self, fault: Fault, passing: Passing) -> bool:
        traffic = passing.traffic
        self.store.sandboxes.disturb(passing.call.pid)
        # Those are counted where they are done; a fault that lasts for many calls is counted once.
        lasts = traffic.lasting or traffic.silence
        if fault not in CANCELS | _BEHIND | TO_THE_PROCESS and not lasts:
            self._note(fault, passing)
        if fault in SILENCES and traffic.silence is None:
            traffic.fall_silent(fault, passing.call, SILENT_SECONDS)
        if calls := LASTING.get(fault):
            traffic.suffer(fault, calls)
        if fault in TO_THE_PROCESS:
            return await self._shake(fault, passing)
        match fault:
            case Fault.REFUSE | Fault.UNREACHABLE:
                return False
            case Fault.LOSE_ANSWER | Fault.QUERY_UNANSWERED:
                await self._settled(passing)
                return False
            case Fault.THROTTLE:
                self._answer(refusal(HTTPStatus.BAD_REQUEST, _THROTTLED))
            case Fault.FAIL | Fault.QUERY_FAILS | Fault.OUTAGE:
                self._answer(refusal(HTTPStatus.INTERNAL_SERVER_ERROR, _FAILED))
            case Fault.STALE_QUERY | Fault.GAPPED_QUERY:
                await self._fall_behind(fault, passing)
            case _:
                await self._delay(fault, passing)
        return True

    async def _fall_behind(self, fault: Fault, passing: Passing) -> None:
        """Answer as a stale replica might, if the read has enough items; else wait for the next."""
        answer = await self._carry_out(passing.request)
        items = json.loads(answer.body).get("Items", [])
        if len(items) < _FEWEST[fault]:
            self._answer(answer)
            return
        passing.traffic.armed = None
        self._note(fault, passing)
        self._answer(_behind(items, fault))

    async def _shake(self, fault: Fault, passing: Passing) -> bool:
        """Do a fault to the calling process; False if it is no longer there to be answered."""
        sandboxes, call = self.store.sandboxes, passing.call
        answer = None if fault in _BEFORE_PUT else await self._settled(passing)
        match fault:
            case Fault.TERMINATE:
                if sandboxes.terminate(call.pid):
                    self._note(fault, passing)
            case Fault.FREEZE_BEFORE_PUT | Fault.FREEZE_AFTER_PUT:
                answer = await self._freeze(fault, passing, answer)
            case _:
                if fault is Fault.KILL_ACKNOWLEDGED and answer:
                    self._answer(answer)
                    await self.down.drain()
                if sandboxes.kill(call.pid):
                    self._note(fault, passing)
                    passing.traffic.killed.append((call.stream_id, call.pid, time.monotonic()))
                return False
        self._answer(answer or await self._settled(passing))
        return True

    async def _freeze(self, fault: Fault, passing: Passing, answer: Message | None) -> Message:
        """Freeze the caller until it has lost; return the answer that it is to hear then."""
        sandboxes, call, traffic = self.store.sandboxes, passing.call, passing.traffic
        if traffic.lost(call) or not await sandboxes.freeze(call.pid):
            return answer or await self._settled(passing)
        happened = False
        try:
            happened = await traffic.taken_over(call, TAKE_OVER_SECONDS)
            return answer or await self._settled(passing)
        finally:
            lives = await sandboxes.thaw(call.pid)
            if happened and lives:
                traffic.zombies += 1
                self._note(fault, passing)
            what = f"{'' if happened else 'not '}taken over{'' if lives else ', and dead by then'}"
            self.store.history.note(passing.number, f"process {call.pid} thawed, {what}")

    async def _delay(self, fault: Fault, passing: Passing) -> None:
        """Carry a call out and answer it, one or both of them late."""
        match fault:
            case Fault.SLOW:
                await asyncio.sleep(SLOW_SECONDS)
            case Fault.LATE_PUT:
                await asyncio.sleep(LATE_SECONDS)
            case Fault.SILENT:
                if (silence := passing.traffic.silence) is not None:
                    await asyncio.sleep(silence.until - time.monotonic())
            case Fault.CANCEL | Fault.CANCEL_AT_FINISH | Fault.CANCEL_AT_TAKE_OVER:
                await self._stop(fault, passing)
            case Fault.LATE_ANSWER:
                pass
            case _:
                raise ValueError(f"no fault of the store: {fault}")
        answer = await self._settled(passing)
        if fault is Fault.LATE_ANSWER:
            await asyncio.sleep(LATE_SECONDS)
        self._answer(answer)

    async def _stop(self, fault: Fault, passing: Passing) -> None:
        """Have the stream stopped; count a race only if the canceller comes."""
        traffic = passing.traffic
        first = not traffic.cancel_wanted.is_set()
        traffic.cancel_wanted.set()
        if fault is Fault.CANCEL:
            return
        if await traffic.cancelled(passing.call, CANCEL_SECONDS) and first:
            self._note(fault, passing)

    async def _settled(self, passing: Passing) -> Message:
        """Have a call carried out, and note its result."""
        call, began_at = passing.call, time.monotonic()
        answer = await self._carry_out(passing.request)
        if time.monotonic() - began_at > LONG_SECONDS:
            self.store.sandboxes.disturb(call.pid)
        if call.operation == "PutItem":
            taken = answer.head.startswith(b"HTTP/1.1 200")
            what = "stands" if taken else "refused"
            self.store.history.note(passing.number, f"{call}: {what}")
            if taken:
                await passing.traffic.acknowledged(call)
        return answer

    async def _carry_out(self, request: Message) -> Message:
        self.up_writer.write(request.head + request.body)
        return await read(self.up_reader)

    def _answer(self, answer: Message) -> None:
        self.down.write(answer.head + answer.body)

    def _note(self, fault: Fault, passing: Passing) -> None:
        self.store.history.inject(passing.number, fault, str(passing.call))


def _fault(plan: Plan, call: Call, traffic: Traffic) -> Fault | None:
    """Count a call, and return the fault to do to it."""
    if traffic.silence is not None:
        return traffic.silence.fault
    if traffic.lasting:
        return traffic.lasting
    match call.operation:
        case "PutItem":
            fault = plan.cancel if traffic.racing(call) else plan.puts.get(traffic.puts)
            fault = fault or _cancels(plan, call, traffic)
            traffic.puts += 1
            return None if fault in FREEZES and _is_last(call, fault) else fault
        case "Query":
            fault = plan.queries.get(traffic.queries)
            traffic.queries += 1
            if fault in _BEHIND:
                # An eventually consistent read may be behind; a consistent one never is.
                traffic.armed, fault = fault, None
            return traffic.armed if traffic.armed and call.eventual else fault
        case _:
            return None


def _is_last(call: Call, fault: Fault) -> bool:
    """Return True when no other process could take over from one frozen at this put."""
    return call.kind == "cancelled" or (fault is Fault.FREEZE_AFTER_PUT and call.kind in TERMINAL)


def _cancels(plan: Plan, call: Call, traffic: Traffic) -> Fault | None:
    """The stop that begins at this put, if there is one."""
    if traffic.cancel_wanted.is_set():
        return None
    match plan.cancel:
        case Fault.CANCEL if traffic.puts >= plan.cancel_at:
            return Fault.CANCEL
        case Fault.CANCEL_AT_FINISH if call.kind == "done":
            return Fault.CANCEL_AT_FINISH
        case Fault.CANCEL_AT_TAKE_OVER if call.kind == "claim" and call.seq > 1:
            return Fault.CANCEL_AT_TAKE_OVER
        case _:
            return None


def _behind(items: list[dict[str, Any]], fault: Fault) -> Message:
    """A query's answer without its last item, or without one before that."""
    lacking = len(items) - 1 if fault is Fault.STALE_QUERY else (len(items) - 1) // 2
    rest = items[:lacking] + items[lacking + 1 :]
    page = {"Items": rest, "Count": len(rest), "ScannedCount": len(rest)}
    return answer_of(HTTPStatus.OK, page)
