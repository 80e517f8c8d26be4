"""One stream from its making to its end: everybody who wants something of it."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from chaos.event_source import Event, EventSource, PermanentFailure
from chaos.faults import Fault
from chaos.history import History
from chaos.plan import AtByte, Plan, Way
from chaos.sandboxes import Sandboxes
from chaos.traffic import Traffic
from chaos.wire import Wire

# Keep-alives come every two seconds: who hears nothing for so long has no connection any more.
SILENCE = 7.0
# For all of it: several leases, hand-overs and cold starts.
PATIENCE = 150.0
# What the function URL says when a sandbox ends before its answer has begun, or none is free.
PLATFORM = frozenset({429, 500, 502, 503})
_PAUSE = 0.5
# Longer than a sandbox stays frozen, and than it takes to start on a busy machine.
_POST_SECONDS = 20.0
_DUPLICATES_BODY = "another question"


@dataclass
class Told:
    """What one reader was told. Times are of the monotonic clock.

    `connected_at` has the moment of each connection, and which position it had come to.
    `gave_up` has the statuses that ended an EventSource for good, whereupon the page made another.
    """

    events: list[Event] = field(default_factory=list)
    connected_at: list[tuple[float, int]] = field(default_factory=list)
    gave_up: list[int] = field(default_factory=list)

    @property
    def stream_id(self) -> str:
        return self.events[0].id.rpartition(":")[0] if self.events else ""


@dataclass
class Outcome:
    """What became of a plan; `wrong` is what somebody saw that may not be.

    `stopped` is the id of the stream that a stop was sent to.
    """

    plan: Plan
    readers: list[Told] = field(default_factory=list)
    snapshot: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    ended: bool = False
    stopped: str = ""


class Story:
    """Runs one plan. `functions` are the URLs of the functions that serve the same table."""

    def __init__(
        self,
        plan: Plan,
        *,
        http: httpx.AsyncClient,
        functions: Sequence[str],
        traffic: Traffic,
        sandboxes: Sandboxes,
        history: History,
        patience: float = PATIENCE,
    ) -> None:
        self.outcome = Outcome(plan)
        self._plan = plan
        self._http = http
        # Each plan begins in one of them; who reconnects may come to another.
        self._functions = functions[::-1] if plan.shared else functions
        self._traffic = traffic
        self._sandboxes = sandboxes
        self._history = history
        self._patience = patience
        self._listeners: list[Callable[[int], None]] = []

    async def run(self) -> Outcome:
        """Play it to the end, or until patience is over."""
        try:
            async with asyncio.timeout(self._patience):
                await self._play()
                self.outcome.ended = True
        except TimeoutError:
            self.outcome.wrong.append(f"no end within {self._patience:.0f} s")
        return self.outcome

    async def _play(self) -> None:
        plan = self._plan
        if plan.way is Way.POST:
            stream_id = await self._create()
            path = f"/streams/{stream_id}/events"
        else:
            path = f"/sse?prompt={quote(plan.prompt)}&max_tokens={plan.max_tokens}"
        async with asyncio.TaskGroup() as tasks:
            first = Told()
            self.outcome.readers.append(first)
            reading = tasks.create_task(self._read(path, first, nth=0))
            others = [tasks.create_task(self._join(first, nth)) for nth in range(1, plan.readers)]
            attending = []
            if plan.cancel is not None:
                attending.append(tasks.create_task(self._cancel(first, plan.cancel)))
            if plan.hostile:
                attending.append(tasks.create_task(self._be_hostile(first)))
            await reading
            await asyncio.gather(*others)
            self._traffic.over.set()
            await asyncio.gather(*attending)

    # Making it

    async def _create(self) -> str:
        """Create as a careful client does: again with the same key until there is an answer."""
        body = {"prompt": self._plan.prompt, "max_tokens": self._plan.max_tokens}
        key = f"chaos-{self._plan.prompt.encode().hex()[-24:]}-{self._plan.number:08d}"
        twice = self._plan.duplicates
        if twice:
            self._history.inject(self._plan.number, Fault.DUPLICATE_CREATE, key)
        ids = await asyncio.gather(
            *(self._post("/streams", body, key, nth=nth) for nth in range(max(1, twice)))
        )
        if len({answer["id"] for answer in ids}) != 1:
            self.outcome.wrong.append(f"one Idempotency-Key made several streams: {ids}")
        if twice:
            other = {**body, "prompt": f"{self._plan.prompt} {_DUPLICATES_BODY}"}
            await self._post("/streams", other, key, expected=httpx.codes.UNPROCESSABLE_ENTITY)
        return str(ids[0]["id"])

    async def _post(
        self,
        path: str,
        body: object = None,
        key: str = "",
        *,
        nth: int = 0,
        expected: int = 0,
    ) -> dict[str, Any]:
        headers = {"Idempotency-Key": key} if key else {}
        while True:
            url = self._functions[nth % len(self._functions)]
            nth += 1
            try:
                answer = await self._http.post(
                    f"{url}{path}", json=body, headers=headers, timeout=_POST_SECONDS
                )
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code not in PLATFORM:
                break
            await asyncio.sleep(_PAUSE)
        if answer.status_code != expected and not (answer.is_success and not expected):
            self.outcome.wrong.append(f"POST {path}: {answer.status_code} {answer.text}")
        found: dict[str, Any] = answer.json()
        return found

    # Reading it

    async def _join(self, first: Told, nth: int) -> None:
        """Read as another reader, once the stream is known."""
        await self._heard(first, nth % 7)
        told = Told()
        self.outcome.readers.append(told)
        await self._read(f"/streams/{first.stream_id}/events", told, nth=nth)

    async def _read(self, path: str, told: Told, *, nth: int) -> None:
        """Read to the end, through a wire of one's own."""
        crowd, functions = self._plan.crowded, self._functions
        if nth == 1 and crowd:
            self._history.inject(self._plan.number, Fault.CROWD, f"{self._plan.readers} readers")
        troubles = self._plan.connections if nth == 0 else ()

        def done(trouble: AtByte, byte: int) -> None:
            where = f"byte {byte} of reader {nth}"
            self._history.inject(self._plan.number, trouble.fault, where)

        wire = Wire(
            lambda connection: functions[0 if crowd else (nth + connection) % len(functions)],
            lambda connection: troubles[connection] if connection < len(troubles) else None,
            done,
        )
        limits = httpx.Limits(max_keepalive_connections=0)
        async with wire.open(), httpx.AsyncClient(limits=limits, trust_env=False) as http:
            await self._follow(http, f"{wire.url}{path}", wire.url, told, nth)

    async def _follow(
        self, http: httpx.AsyncClient, url: str, wire_url: str, told: Told, nth: int
    ) -> None:
        """Be an EventSource; where one gives up, do what a page does: make another."""
        while True:
            source = EventSource(
                http,
                url,
                on_event=lambda event: self._received(event, told, nth),
                on_connect=lambda: self._connected(told, nth),
                silence=SILENCE,
            )
            try:
                await source.follow()
            except PermanentFailure as failure:
                self._history.note(self._plan.number, f"reader {nth} gave up: {failure}")
                told.gave_up.append(failure.status)
                if failure.status not in PLATFORM:
                    self.outcome.wrong.append(f"a reader was refused: {failure}")
                    return
            else:
                self._history.note(self._plan.number, f"reader {nth} was told 204")
                return
            await asyncio.sleep(_PAUSE)
            if told.events:
                cursor = told.events[-1].id
                url = f"{wire_url}/streams/{told.stream_id}/events?last_event_id={cursor}"

    def _connected(self, told: Told, nth: int) -> None:
        told.connected_at.append((time.monotonic(), len(told.events)))
        self._history.note(self._plan.number, f"reader {nth} connects behind {len(told.events)}")

    def _received(self, event: Event, told: Told, nth: int) -> None:
        told.events.append(event)
        for listener in self._listeners:
            listener(nth)
        if nth == 0:
            self._history.note(self._plan.number, f"reader 0 received {event.id[-8:]} {event.name}")
            if len(told.events) - 1 in self._plan.kill_after_send:
                stream_id, _, seq = event.id.rpartition(":")
                pid = self._traffic.writers.get((stream_id, int(seq)))
                if pid is not None:
                    self._history.inject(
                        self._plan.number, Fault.KILL_AFTER_SEND, f"process {pid} at {event.seq}"
                    )
                    self._traffic.killed.append((stream_id, pid, event.at))
                    self._sandboxes.kill(pid)

    async def _heard(self, told: Told, count: int) -> None:
        """Wait until a reader has received more than so many events, or all there will be."""
        news = asyncio.Event()
        self._listeners.append(lambda _: news.set())
        while len(told.events) <= count and not (told.events and _terminal(told.events[-1])):
            news.clear()
            await news.wait()

    # Disturbing it

    async def _cancel(self, first: Told, fault: Fault) -> None:
        """Stop it when the store says so; not at all if that never comes."""
        over = asyncio.create_task(self._traffic.over.wait())
        wanted = asyncio.create_task(self._traffic.cancel_wanted.wait())
        await asyncio.wait({over, wanted}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        wanted.cancel()
        if not self._traffic.cancel_wanted.is_set():
            return
        self._history.inject(self._plan.number, fault, "now")
        await self._heard(first, 0)
        self.outcome.stopped = first.stream_id
        self.outcome.snapshot = await self._post(f"/streams/{first.stream_id}/cancel", nth=1)
        self._history.note(self._plan.number, f"cancel says {self.outcome.snapshot.get('status')}")

    async def _be_hostile(self, first: Told) -> None:
        """Ask with cursors that no honest client has: each must be refused, none resumed."""
        await self._heard(first, 3)
        own = first.stream_id
        self._history.inject(self._plan.number, Fault.HOSTILE_CURSORS, own[:6])
        chance = random.Random(self._plan.number)  # noqa: S311 - it must be repeatable
        for cursor in (
            "garbage",
            "-1",
            f"{own}:-1",
            f"{own}:01",
            f"{own}:1e3",
            f"{own}:{10**17}",
            f"{own}:{10**40}",
            f"{own}:{chance.randrange(10**6, 10**9)}",
            f"{own[::-1]}:2",
            f"{own}:2:3",
            f"{own}: 2",
        ):
            await self._refused(own, cursor)

    async def _refused(self, stream_id: str, cursor: str) -> None:
        path = f"/streams/{stream_id}/events"
        nth = 0
        while True:
            url = self._functions[nth % len(self._functions)]
            nth += 1
            try:
                answer = await self._http.get(
                    f"{url}{path}", headers={"Last-Event-ID": cursor}, timeout=SILENCE
                )
            except httpx.TransportError:
                continue
            trouble = answer.status_code == httpx.codes.OK and not _events_in(answer.text)
            if answer.status_code in PLATFORM or trouble:
                # The platform's trouble, or the log's: an answer that only says "come back".
                await asyncio.sleep(_PAUSE)
                continue
            if answer.status_code != httpx.codes.BAD_REQUEST:
                self.outcome.wrong.append(
                    f"cursor {cursor!r}: {answer.status_code} {answer.text[:200]}"
                )
            return


def _terminal(event: Event) -> bool:
    return event.name in {"done", "error", "cancelled"}


def _events_in(text: str) -> list[Any]:
    return [
        json.loads(line.removeprefix("data: "))
        for line in text.splitlines()
        if line.startswith("data: ")
    ]
