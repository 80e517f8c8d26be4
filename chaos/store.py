"""Between the sandboxes and DynamoDB: a proxy that knows whose call it passes, and does the faults.

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

from chaos.faults import CANCELS, TO_THE_PROCESS, Fault
from chaos.history import History
from chaos.plan import Plan
from chaos.sandboxes import Sandboxes
from chaos.traffic import Call, Ledger, Traffic, parse

# A take-over needs a lease of four seconds, and a client that comes back.
TAKE_OVER_SECONDS = 12.0
CANCEL_SECONDS = 3.0
SLOW_SECONDS = 0.6
# Longer than the client waits for an answer (app.table).
LATE_SECONDS = 2.0
OUTAGE_CALLS = 12

_THROTTLED = b'{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}'
_FAILED = b'{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}'
_TABLE_CALLS = frozenset({"CreateTable", "UpdateTimeToLive"})
# The faults that wait for a read that they can be done to, and how many items that must find.
_BEHIND = frozenset({Fault.STALE_QUERY, Fault.GAPPED_QUERY})
_FEWEST = {Fault.STALE_QUERY: 1, Fault.GAPPED_QUERY: 2}


@dataclass(frozen=True, slots=True)
class Message:
    """One HTTP message with a Content-Length: its head as it came, its headers, its body."""

    head: bytes
    headers: Mapping[str, str]
    body: bytes

    @property
    def raw(self) -> bytes:
        return self.head + self.body


class Store:
    """The proxy. `url` is where the sandboxes find it."""

    def __init__(
        self, upstream: str, plans: Mapping[int, Plan], ledger: Ledger, history: History
    ) -> None:
        host, _, port = upstream.removeprefix("http://").partition(":")
        self._upstream = (host, int(port))
        self._plans = plans
        self._ledger = ledger
        self._history = history
        self.url = ""
        self.sandboxes: Sandboxes | None = None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Serve while the block runs."""
        conversations: set[asyncio.Task[None]] = set()

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            conversations.add(task)
            try:
                with closing(writer), suppress(ConnectionError, EOFError):
                    await self._converse(reader, writer)
            finally:
                conversations.discard(task)

        server = await asyncio.start_server(converse, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            server.close()
            for task in conversations:
                task.cancel()
            await asyncio.gather(*conversations, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        with closing(up_writer):
            exchange = Exchange(self, up_reader, up_writer, writer)
            while True:
                if not await exchange.pass_on(await _read(reader)):
                    return

    def fault_of(self, call: Call) -> tuple[int, Traffic, Fault | None] | None:
        """The plan that a call belongs to, and its fault; counts the call."""
        number = self._ledger.number_of(call)
        if number is None or number not in self._plans:
            return None
        plan, traffic = self._plans[number], self._ledger.traffic(number)
        traffic.streams.add(call.stream_id)
        traffic.calls[call.operation] = traffic.calls.get(call.operation, 0) + 1
        if traffic.outage > 0:
            return number, traffic, Fault.OUTAGE
        fault: Fault | None = None
        if call.operation == "PutItem":
            fault = plan.puts.get(traffic.puts) or _cancels(plan, call, traffic)
            traffic.puts += 1
        elif call.operation == "Query":
            fault = plan.queries.get(traffic.queries)
            traffic.queries += 1
            if fault in _BEHIND:
                traffic.armed = fault
            fault = traffic.armed if call.eventual and traffic.armed else _unless_behind(fault)
        return number, traffic, fault

    def done(self, number: int, fault: Fault, call: Call) -> None:
        """Remember a fault."""
        self._history.inject(number, fault, str(call))

    def note(self, number: int, what: str) -> None:
        self._history.note(number, what)

    def sandboxes_now(self) -> Sandboxes:
        """Those that the faults are done to."""
        assert self.sandboxes is not None
        return self.sandboxes


@dataclass(frozen=True, slots=True)
class Exchange:
    """One connection of a sandbox, and ours to DynamoDB behind it."""

    store: Store
    up_reader: asyncio.StreamReader
    up_writer: asyncio.StreamWriter
    down: asyncio.StreamWriter

    async def pass_on(self, request: Message) -> bool:
        """Pass one call on, or do its fault; False if the connection is to be closed."""
        operation = request.headers.get("x-amz-target", "").rpartition(".")[2]
        if operation in _TABLE_CALLS:
            self._answer((await self._carry_out(request)).raw)
            return True
        call = parse(operation, request.headers.get("user-agent", ""), request.body)
        self.store.sandboxes_now().seen.add(call.pid)
        found = self.store.fault_of(call)
        if found is None:
            self._answer((await self._carry_out(request)).raw)
            return True
        number, traffic, fault = found
        if call.kind == "cancelled":
            await traffic.cancelling(call)
        if fault is not None:
            return await self._do(fault, request, call, number, traffic)
        self._answer(await self._settled(request, call, number, traffic))
        return True

    async def _do(
        self, fault: Fault, request: Message, call: Call, number: int, traffic: Traffic
    ) -> bool:
        if fault not in CANCELS | _BEHIND and not traffic.outage:
            self.store.done(number, fault, call)
        if fault in TO_THE_PROCESS:
            return await self._shake(fault, request, call, number, traffic)
        match fault:
            case Fault.REFUSE:
                return False
            case Fault.LOSE_ANSWER | Fault.QUERY_UNANSWERED:
                await self._settled(request, call, number, traffic)
                return False
            case Fault.THROTTLE:
                self._refuse(HTTPStatus.BAD_REQUEST, _THROTTLED)
            case Fault.FAIL | Fault.QUERY_FAILS:
                self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, _FAILED)
            case Fault.OUTAGE:
                traffic.outage = (traffic.outage or OUTAGE_CALLS) - 1
                self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, _FAILED)
            case Fault.STALE_QUERY | Fault.GAPPED_QUERY:
                await self._query_behind(fault, request, call, number, traffic)
            case _:
                await self._delay(fault, request, call, number, traffic)
        return True

    async def _query_behind(
        self, fault: Fault, request: Message, call: Call, number: int, traffic: Traffic
    ) -> None:
        """Answer as another replica might, if there is enough to be behind with; else next time."""
        answer = await self._carry_out(request)
        items = json.loads(answer.body).get("Items", [])
        if len(items) < _FEWEST[fault]:
            self._answer(answer.raw)
            return
        traffic.armed = None
        self.store.done(number, fault, call)
        self._answer(_behind(items, fault))

    async def _shake(
        self, fault: Fault, request: Message, call: Call, number: int, traffic: Traffic
    ) -> bool:
        """Do something to the process that calls; False if there is nobody to answer."""
        sandboxes = self.store.sandboxes_now()
        if fault in {Fault.FREEZE_BEFORE_PUT, Fault.KILL_BEFORE_PUT}:
            answer = b""
        else:
            answer = await self._settled(request, call, number, traffic)
        match fault:
            case Fault.TERMINATE:
                sandboxes.terminate(call.pid)
            case Fault.FREEZE_BEFORE_PUT | Fault.FREEZE_AFTER_PUT:
                await sandboxes.freeze(call.pid)
                happened = await traffic.taken_over(call, TAKE_OVER_SECONDS)
                self.store.note(number, f"{'taken over' if happened else 'not taken over'}; thaw")
                answer = answer or await self._settled(request, call, number, traffic)
                await sandboxes.thaw(call.pid)
            case _:
                if fault is Fault.KILL_ACKNOWLEDGED:
                    self._answer(answer)
                    await self.down.drain()
                traffic.killed.append((call.stream_id, call.pid, time.monotonic()))
                sandboxes.kill(call.pid)
                return False
        self._answer(answer)
        return True

    async def _delay(
        self, fault: Fault, request: Message, call: Call, number: int, traffic: Traffic
    ) -> None:
        """Carry a call out and answer it, one or both of them late."""
        match fault:
            case Fault.SLOW:
                await asyncio.sleep(SLOW_SECONDS)
            case Fault.LATE_PUT:
                await asyncio.sleep(LATE_SECONDS)
            case Fault.CANCEL | Fault.CANCEL_AT_FINISH | Fault.CANCEL_AT_TAKE_OVER:
                traffic.cancel_wanted.set()
                if fault is not Fault.CANCEL:
                    await traffic.cancelled(call, CANCEL_SECONDS)
            case Fault.LATE_ANSWER:
                pass
            case _:
                raise ValueError(f"no fault of the store: {fault}")
        answer = await self._settled(request, call, number, traffic)
        if fault is Fault.LATE_ANSWER:
            await asyncio.sleep(LATE_SECONDS)
        self._answer(answer)

    async def _settled(self, request: Message, call: Call, number: int, traffic: Traffic) -> bytes:
        """Have a call carried out, and note what it came to."""
        answer = await self._carry_out(request)
        if call.operation == "PutItem":
            taken = answer.head.startswith(b"HTTP/1.1 200")
            self.store.note(number, f"{call}: {'stands' if taken else answer.head[9:12].decode()}")
            if taken:
                await traffic.acknowledged(call)
        return answer.raw

    async def _carry_out(self, request: Message) -> Message:
        self.up_writer.write(request.raw)
        return await _read(self.up_reader)

    def _answer(self, answer: bytes) -> None:
        self.down.write(answer)

    def _refuse(self, status: HTTPStatus, body: bytes) -> None:
        self.down.write(_head(status, body) + body)


def _cancels(plan: Plan, call: Call, traffic: Traffic) -> Fault | None:
    """Whether the stop is to race with this put."""
    if traffic.cancel_wanted.is_set():
        return None
    match plan.cancel:
        case Fault.CANCEL if traffic.puts >= plan.number % 20 + 2:
            return Fault.CANCEL
        case Fault.CANCEL_AT_FINISH if call.kind == "done":
            return Fault.CANCEL_AT_FINISH
        case Fault.CANCEL_AT_TAKE_OVER if call.kind == "claim" and call.seq > 1:
            return Fault.CANCEL_AT_TAKE_OVER
        case _:
            return None


def _unless_behind(fault: Fault | None) -> Fault | None:
    """An eventually consistent read may be behind; a consistent one never is."""
    return None if fault in _BEHIND else fault


def _behind(items: list[dict[str, Any]], fault: Fault) -> bytes:
    """A query's answer without its last item, or without one before that."""
    lacking = len(items) - 1 if fault is Fault.STALE_QUERY else (len(items) - 1) // 2
    rest = items[:lacking] + items[lacking + 1 :]
    page = {"Items": rest, "Count": len(rest), "ScannedCount": len(rest)}
    body = json.dumps(page).encode()
    return _head(HTTPStatus.OK, body) + body


def _head(status: HTTPStatus, body: bytes) -> bytes:
    lines = (
        f"HTTP/1.1 {status} {status.phrase}",
        "Content-Type: application/x-amz-json-1.0",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join([*lines, "", ""]).encode()


async def _read(reader: asyncio.StreamReader) -> Message:
    head = await reader.readuntil(b"\r\n\r\n")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head.decode().split("\r\n")[1:])
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Message(head, headers, body)
