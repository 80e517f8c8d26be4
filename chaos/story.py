"""One stream from its making to its end: everybody who wants something of it."""

import asyncio
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from chaos.client import Client, is_of_the_log, is_the_platforms
from chaos.event_source import TERMINAL, Event, EventSource, PermanentFailure
from chaos.faults import Fault
from chaos.history import History
from chaos.hostile import be_hostile, be_late
from chaos.plan import AtByte, Plan, Way
from chaos.sandboxes import Sandboxes
from chaos.traffic import Traffic
from chaos.wire import Wire

# Keep-alives come every two seconds: who hears nothing for so long has no connection any more.
SILENCE = 7.0
# For all of it: several leases, hand-overs and cold starts.
PATIENCE = 150.0
_PAUSE = 0.5
# Longer than a sandbox stays frozen, and than it takes to start on a busy machine.
_POST_SECONDS = 25.0
_DUPLICATES_BODY = "another question"


@dataclass
class Told:
    """What one reader was told. Times are of the monotonic clock.

    `connected_at` has the moment of each connection, and which position it had come to.
    `gave_up` has the statuses that ended an EventSource for good, whereupon the page made another;
    `over` says that this reader hears no more.
    """

    events: list[Event] = field(default_factory=list)
    connected_at: list[tuple[float, int]] = field(default_factory=list)
    gave_up: list[int] = field(default_factory=list)
    over: bool = False

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
        # Each plan begins in one of them; who reconnects may come to another.
        self._functions = functions[::-1] if plan.shared else functions
        self._client = Client(http, self._functions, lambda what: history.note(plan.number, what))
        self._traffic = traffic
        self._sandboxes = sandboxes
        self._history = history
        self._patience = patience
        self._listeners: list[Callable[[], None]] = []

    async def run(self) -> Outcome:
        """Play it to the end, or until patience is over; whatever goes wrong is this stream's."""
        patience = asyncio.timeout(self._patience)
        try:
            async with patience:
                await self._play()
                self.outcome.ended = True
        except Exception as error:  # noqa: BLE001 - the other streams go on
            if patience.expired():
                self.outcome.wrong.append(f"no end within {self._patience:.0f} s")
            else:
                self.outcome.wrong += [f"{type(each).__name__}: {each}" for each in _leaves(error)]
                self._history.note(self._plan.number, "".join(traceback.format_exception(error)))
        return self.outcome

    async def _play(self) -> None:
        plan = self._plan
        path = f"/sse?prompt={quote(plan.prompt)}&max_tokens={plan.max_tokens}"
        if plan.way is Way.POST:
            stream_id = await self._create()
            if not stream_id:
                return
            path = f"/streams/{stream_id}/events"
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
            if plan.way is Way.STREAM and plan.duplicates:
                attending.append(tasks.create_task(self._create_too(first)))
            await reading
            await asyncio.gather(*others)
            self._traffic.over.set()
            await asyncio.gather(*attending)
            if plan.hostile and _ended(first):
                self.outcome.wrong += await be_late(self._client, first.events[-1].id)

    # Making it

    @property
    def _body(self) -> dict[str, Any]:
        return {"prompt": self._plan.prompt, "max_tokens": self._plan.max_tokens}

    @property
    def _key(self) -> str:
        return f"chaos-{self._plan.prompt.encode().hex()[-24:]}-{self._plan.number:08d}"

    async def _create_too(self, first: Told) -> None:
        """Create it while another request with the same key creates and reads it."""
        stream_id = await self._create()
        if await self._heard(first, 0) and stream_id and stream_id != first.stream_id:
            both = sorted({stream_id, first.stream_id})
            self.outcome.wrong.append(f"one Idempotency-Key made several streams: {both}")

    async def _create(self) -> str:
        """Create as a careful client does: again with the same key until there is an answer."""
        body, key, twice = self._body, self._key, self._plan.duplicates
        if twice:
            self._history.inject(self._plan.number, Fault.DUPLICATE_CREATE, key)
        answers = await asyncio.gather(
            *(self._post("/streams", body, key, nth=nth) for nth in range(max(1, twice)))
        )
        ids = {str(answer["id"]) for answer in answers if "id" in answer}
        if len(ids) > 1:
            self.outcome.wrong.append(f"one Idempotency-Key made several streams: {sorted(ids)}")
        if twice:
            other = {**body, "prompt": f"{self._plan.prompt} {_DUPLICATES_BODY}"}
            await self._post("/streams", other, key, expected=httpx.codes.UNPROCESSABLE_ENTITY)
        return min(ids, default="")

    async def _post(
        self,
        path: str,
        body: object = None,
        key: str = "",
        *,
        nth: int = 0,
        expected: int = 0,
    ) -> dict[str, Any]:
        """What is answered; nothing, if that is wrong."""
        headers = {"Idempotency-Key": key} if key else {}
        answer = await self._client.ask(
            "POST", path, body=body, headers=headers, nth=nth, seconds=_POST_SECONDS
        )
        if answer.status_code != expected and not (answer.is_success and not expected):
            self.outcome.wrong.append(f"POST {path}: {answer.status_code} {answer.text}")
            return {}
        found: dict[str, Any] = answer.json()
        return found

    # Reading it

    async def _join(self, first: Told, nth: int) -> None:
        """Read as another reader, once the stream is known."""
        if not await self._heard(first, nth % 7):
            return
        told = Told()
        self.outcome.readers.append(told)
        await self._read(f"/streams/{first.stream_id}/events", told, nth=nth)

    async def _read(self, path: str, told: Told, *, nth: int) -> None:
        """Read to the end, through a wire of one's own."""
        crowd, functions = self._plan.crowded, self._functions
        if nth == 1 and crowd:
            self._history.inject(self._plan.number, Fault.CROWD, f"{self._plan.readers} readers")
        troubles = (*self._plan.connections[nth : nth + 1], ())[0]

        def done(trouble: AtByte, byte: int) -> None:
            where = f"byte {byte} of reader {nth}"
            self._history.inject(self._plan.number, trouble.fault, where)

        wire = Wire(
            lambda connection: functions[0 if crowd else (nth + connection) % len(functions)],
            lambda connection: troubles[connection] if connection < len(troubles) else None,
            done,
        )
        limits = httpx.Limits(max_keepalive_connections=0)
        try:
            async with wire.open(), httpx.AsyncClient(limits=limits, trust_env=False) as http:
                await self._follow(http, f"{wire.url}{path}", wire.url, told, nth)
        finally:
            told.over = True
            self._tell_listeners()

    async def _follow(
        self, http: httpx.AsyncClient, url: str, wire_url: str, told: Told, nth: int
    ) -> None:
        """Be an EventSource; where one gives up, do what a page does: make another."""
        if (
            nth == 0
            and self._plan.way is Way.STREAM
            and not await self._post_and_read(http, wire_url, told)
        ):
            return
        while True:
            if told.events:
                cursor = told.events[-1].id
                url = f"{wire_url}/streams/{told.stream_id}/events?last_event_id={cursor}"
            try:
                await self._source(http, url, told, nth).follow()
            except PermanentFailure as failure:
                if not self._may_go_on(failure, told, nth):
                    return
            else:
                self._history.note(self._plan.number, f"reader {nth} was told 204")
                return
            await asyncio.sleep(_PAUSE)

    async def _post_and_read(self, http: httpx.AsyncClient, wire_url: str, told: Told) -> bool:
        """Create and read in one, with the same key until an event has come; False if none may."""
        while not told.events:
            source = self._source(http, f"{wire_url}/streams?stream=true", told, 0)
            source.body, source.headers = self._body, {"Idempotency-Key": self._key}
            try:
                await source.connect()
            except PermanentFailure as failure:
                out = is_of_the_log(failure.status, failure.text)
                if not out and not self._may_go_on(failure, told, 0):
                    return False
            await asyncio.sleep(_PAUSE)
        return True

    def _source(self, http: httpx.AsyncClient, url: str, told: Told, nth: int) -> EventSource:
        return EventSource(
            http,
            url,
            on_event=lambda event: self._received(event, told, nth),
            on_connect=lambda: self._connected(told, nth),
            silence=SILENCE,
        )

    def _may_go_on(self, failure: PermanentFailure, told: Told, nth: int) -> bool:
        """Whether it was the platform that ended an EventSource; anything else is wrong."""
        self._history.note(self._plan.number, f"reader {nth} gave up: {failure}")
        told.gave_up.append(failure.status)
        if is_the_platforms(failure.status, failure.text):
            return True
        self.outcome.wrong.append(f"a reader was refused: {failure}")
        return False

    def _connected(self, told: Told, nth: int) -> None:
        told.connected_at.append((time.monotonic(), len(told.events)))
        self._history.note(self._plan.number, f"reader {nth} connects behind {len(told.events)}")

    def _received(self, event: Event, told: Told, nth: int) -> None:
        told.events.append(event)
        self._tell_listeners()
        if nth == 0:
            self._history.note(self._plan.number, f"reader 0 received {event.id[-8:]} {event.name}")
            if len(told.events) - 1 in self._plan.kill_after_send:
                stream_id, _, seq = event.id.rpartition(":")
                pid = self._traffic.writers.get((stream_id, int(seq)))
                if pid is not None and self._sandboxes.kill(pid):
                    where = f"process {pid} at {event.seq}"
                    self._history.inject(self._plan.number, Fault.KILL_AFTER_SEND, where)
                    self._traffic.killed.append((stream_id, pid, event.at))

    def _tell_listeners(self) -> None:
        for listener in self._listeners:
            listener()

    async def _heard(self, told: Told, count: int) -> bool:
        """Wait until a reader has received more than so many events, or all that it ever will.

        False if that is none.
        """
        news = asyncio.Event()
        self._listeners.append(news.set)
        while len(told.events) <= count and not (told.over or _ended(told)):
            news.clear()
            await news.wait()
        return bool(told.events)

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
        if fault is Fault.CANCEL:  # A race is counted where it takes place.
            self._history.inject(self._plan.number, fault, "now")
        if not await self._heard(first, 0):
            return
        self.outcome.stopped = first.stream_id
        self.outcome.snapshot = await self._post(f"/streams/{first.stream_id}/cancel", nth=1)
        self._history.note(self._plan.number, f"cancel says {self.outcome.snapshot.get('status')}")

    async def _be_hostile(self, first: Told) -> None:
        """Ask with cursors that no honest client has: each must be refused, none resumed."""
        if not await self._heard(first, 3):
            return
        own = first.stream_id
        self._history.inject(self._plan.number, Fault.HOSTILE_CURSORS, own[:6])
        self.outcome.wrong += await be_hostile(self._client, own, self._plan.number)


def _ended(told: Told) -> bool:
    return bool(told.events) and told.events[-1].name in TERMINAL


def _leaves(error: Exception) -> Iterator[Exception]:
    """What went wrong, without the groups that tasks put it in."""
    if isinstance(error, ExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
