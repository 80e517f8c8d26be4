"""The table's traffic about one stream: its calls in order, and the records that stand."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from proof.chaos.faults import Fault
from proof.chaos.plan import number_of
from tests.event_source import TERMINAL

_PID = re.compile(r"app/pid-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a sandbox to DynamoDB, as far as faults are concerned.

    `seq` and `kind` are those of the record that a PutItem puts.
    """

    operation: str
    pid: int
    stream_id: str = ""
    seq: int = -1
    kind: str = ""
    prompt: str = ""
    writer: str = ""
    eventual: bool = False

    @property
    def place(self) -> tuple[str, int]:
        return self.stream_id, self.seq

    def __str__(self) -> str:
        what = f" {self.seq} {self.kind}" if self.operation == "PutItem" else ""
        return f"{self.operation}{what} of process {self.pid} on {self.stream_id[:6]}"


def parse(operation: str, user_agent: str, body: bytes) -> Call:
    """Read a request; a call that is about no stream has no `stream_id`."""
    said = _PID.search(user_agent)
    pid = int(said[1]) if said else 0
    parameters: dict[str, Any] = json.loads(body or b"{}")
    match operation:
        case "PutItem":
            item = parameters["Item"]
            seq, data = int(item["seq"]["N"]), json.loads(item["data"]["S"])
            return Call(
                operation=operation,
                pid=pid,
                stream_id=item["stream_id"]["S"],
                seq=seq,
                kind=item["kind"]["S"],
                prompt=json.loads(data["input"])["messages"][-1]["content"] if seq == 0 else "",
                writer=item["writer"]["S"],
            )
        case "Query":
            values = parameters["ExpressionAttributeValues"]
            return Call(
                operation=operation,
                pid=pid,
                stream_id=values[":stream"]["S"],
                eventual=not parameters.get("ConsistentRead", False),
            )
        case "GetItem":
            stream_id = parameters["Key"]["stream_id"]["S"]
            return Call(operation=operation, pid=pid, stream_id=stream_id)
        case _:
            return Call(operation=operation, pid=pid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A silence of the store for one plan; it began as `pid` put a record of `seq` and `kind`.

    `since` and `until` are of the monotonic clock.
    """

    fault: Fault
    stream_id: str
    seq: int
    kind: str
    pid: int
    since: float
    until: float


@dataclass
class Traffic:
    """One plan's calls. It may have several streams: an EventSource without an id asks anew.

    `lasting` is the fault of the next `lasts` calls, `armed` the one that waits for a suitable
    read. `writers` has the process that put each record, and `stood_at` the time when the table had
    acknowledged it. `killed` has each SIGKILL to a writer: the stream, the process, and the time.
    `ended_at` has the time when the table had a stream's last record. `zombies` counts the frozen
    writers that woke after another had taken their place. `twice` has the positions at which the
    table has taken two records, `silences` the silences of the store.
    """

    puts: int = 0
    queries: int = 0
    lasting: Fault | None = None
    lasts: int = 0
    armed: Fault | None = None
    calls: dict[str, int] = field(default_factory=dict)
    streams: set[str] = field(default_factory=set)
    writers: dict[tuple[str, int], int] = field(default_factory=dict)
    stood_at: dict[tuple[str, int], float] = field(default_factory=dict)
    ended_at: dict[str, float] = field(default_factory=dict)
    killed: list[tuple[str, int, float]] = field(default_factory=list)
    twice: list[tuple[str, int]] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    zombies: int = 0
    cancel_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _cancelling: set[str] = field(default_factory=set)
    _races: dict[tuple[str, int], float] = field(default_factory=dict)

    def suffer(self, fault: Fault, calls: int) -> None:
        """Take note of a fault that lasts for so many calls in a row, this one included."""
        self.lasts = (self.lasts or calls) - 1
        self.lasting = fault if self.lasts else None

    @property
    def silence(self) -> Silence | None:
        """The silence that lasts now."""
        newest = self.silences[-1] if self.silences else None
        return newest if newest is not None and time.monotonic() < newest.until else None

    def fall_silent(self, fault: Fault, call: Call, seconds: float) -> None:
        """Take note that the store answers nothing for so long, from this put on."""
        now = time.monotonic()
        self.silences.append(
            Silence(
                fault=fault,
                stream_id=call.stream_id,
                seq=call.seq,
                kind=call.kind,
                pid=call.pid,
                since=now,
                until=now + seconds,
            )
        )

    async def acknowledged(self, call: Call) -> None:
        """Note that the table has taken a record."""
        now = time.monotonic()
        if call.kind in TERMINAL:
            self.ended_at.setdefault(call.stream_id, now)
        if call.place in self.writers:
            self.twice.append(call.place)
        async with self._changed:
            self.writers[call.place] = call.pid
            self.stood_at[call.place] = now
            self._changed.notify_all()

    async def cancelling(self, call: Call) -> None:
        """Note that a canceller's put is on its way."""
        async with self._changed:
            self._cancelling.add(call.stream_id)
            self._changed.notify_all()

    def lost(self, call: Call) -> bool:
        """Return True when another process has put a record at the caller's position or later."""
        return any(
            stream_id == call.stream_id and seq >= call.seq and pid != call.pid
            for (stream_id, seq), pid in self.writers.items()
        )

    async def taken_over(self, call: Call, seconds: float) -> bool:
        """Wait until the caller has lost; False if it has not after so many seconds."""
        return await self._until(lambda: self.lost(call), seconds)

    async def cancelled(self, call: Call, seconds: float) -> bool:
        """Wait until a canceller's put is on its way; False if none comes.

        The seconds count from a record's first put: its client gives up and tries again meanwhile.
        """
        give_up_at = self._races.setdefault(call.place, time.monotonic() + seconds)
        return await self._until(
            lambda: call.stream_id in self._cancelling, give_up_at - time.monotonic()
        )

    def racing(self, call: Call) -> bool:
        """Return True when a put is of a record that is held until a canceller comes."""
        return call.place in self._races

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            return False
        return True


class Ledger:
    """The traffic of all plans; knows the plan of each stream."""

    def __init__(self) -> None:
        self.plans: dict[int, Traffic] = {}
        self._numbers: dict[str, int] = {}

    def number_of(self, call: Call) -> int | None:
        """The plan whose stream a call is about; None if it is about no plan's."""
        if call.prompt and (number := number_of(call.prompt)) is not None:
            self._numbers[call.stream_id] = number
        return self._numbers.get(call.stream_id)

    def number_of_shortened(self, stream: str) -> int | None:
        """The plan of a stream that the application's log names by the beginning of its id."""
        found = (number for each, number in self._numbers.items() if each.startswith(stream))
        return next(found, None) if stream else None

    def traffic(self, number: int) -> Traffic:
        return self.plans.setdefault(number, Traffic())
