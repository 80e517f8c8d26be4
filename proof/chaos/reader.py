"""One reader of a stream, which reads as an EventSource and the page around it do."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx

from proof.chaos.client import is_of_the_log, is_the_platforms
from proof.chaos.faults import Fault
from proof.chaos.history import History
from proof.chaos.plan import AtByte, Plan, Way
from proof.chaos.sandboxes import Sandboxes
from proof.chaos.traffic import Traffic
from proof.chaos.wire import Wire
from tests.event_source import TERMINAL, Event, EventSource, PermanentFailure

# Keep-alives come every two seconds: after such a silence, a reader has lost its connection.
_SILENCE = 7.0
_PAUSE = 0.5


@dataclass
class Told:
    """The events and answers of one reader. Times are of the monotonic clock.

    `connected_at` has the moment of each connection, and the position reached by then.
    `gave_up` has the statuses that ended an EventSource for good, whereupon the page made another.
    `over` is true if this reader hears no more.
    """

    events: list[Event] = field(default_factory=list)
    connected_at: list[tuple[float, int]] = field(default_factory=list)
    gave_up: list[int] = field(default_factory=list)
    over: bool = False

    @property
    def stream_id(self) -> str:
        return self.events[0].id.partition(":")[0] if self.events else ""

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1].name in TERMINAL


class Reader:
    """The nth reader of a plan's stream. `functions` are the URLs that it asks, in turn.

    `wrong` takes the answers that no reader may be given.
    """

    def __init__(
        self,
        plan: Plan,
        nth: int,
        *,
        functions: Sequence[str],
        traffic: Traffic,
        sandboxes: Sandboxes,
        history: History,
        wrong: list[str],
    ) -> None:
        self.told = Told()
        self._plan = plan
        self._nth = nth
        self._functions = functions
        self._traffic = traffic
        self._sandboxes = sandboxes
        self._history = history
        self._wrong = wrong
        self._listeners: list[Callable[[], None]] = []

    async def heard(self, count: int) -> bool:
        """Wait until it has received more than so many events, or all that it ever will.

        False if it has received none.
        """
        told, news = self.told, asyncio.Event()
        self._listeners.append(news.set)
        while len(told.events) <= count and not (told.over or told.ended):
            news.clear()
            await news.wait()
        return bool(told.events)

    async def read(self, path: str) -> None:
        """Read to the end, through a wire of its own."""
        nth, functions, connections = self._nth, self._functions, self._plan.connections
        troubles = connections[nth] if nth < len(connections) else ()
        wire = Wire(
            lambda connection: functions[
                0 if self._plan.crowded else (nth + connection) % len(functions)
            ],
            lambda connection: troubles[connection] if connection < len(troubles) else None,
            self._was_troubled,
        )
        limits = httpx.Limits(max_keepalive_connections=0)
        try:
            async with wire.open(), httpx.AsyncClient(limits=limits, trust_env=False) as http:
                await self._follow(http, wire.url, path)
        finally:
            self.told.over = True
            self._tell_listeners()

    async def _follow(self, http: httpx.AsyncClient, base: str, path: str) -> None:
        """Read as an EventSource; when one gives up, make another, as a page does."""
        told, posts = self.told, self._nth == 0 and self._plan.way is Way.STREAM
        if posts and not await self._post_and_read(http, base):
            return
        while True:
            if told.events:
                cursor = told.events[-1].id
                path = f"/streams/{told.stream_id}/events?last_event_id={cursor}"
            try:
                await self._source(http, f"{base}{path}").follow()
            except PermanentFailure as failure:
                if not self._may_go_on(failure):
                    return
            else:
                self._note("was told 204")
                return
            await asyncio.sleep(_PAUSE)

    async def _post_and_read(self, http: httpx.AsyncClient, base: str) -> bool:
        """Create and read in one, with the same key until an event has come; False if refused."""
        while not self.told.events:
            source = self._source(http, f"{base}/streams?stream=true")
            source.body, source.headers = self._plan.body, {"Idempotency-Key": self._plan.key}
            try:
                await source.connect()
            except PermanentFailure as failure:
                out = is_of_the_log(failure.status, failure.text)
                if not out and not self._may_go_on(failure):
                    return False
            await asyncio.sleep(_PAUSE)
        return True

    def _source(self, http: httpx.AsyncClient, url: str) -> EventSource:
        return EventSource(
            http, url, on_event=self._received, on_connect=self._connected, silence=_SILENCE
        )

    def _may_go_on(self, failure: PermanentFailure) -> bool:
        """Return True when the platform has ended the EventSource; anything else is wrong."""
        self._note(f"gave up: {failure}")
        self.told.gave_up.append(failure.status)
        if is_the_platforms(failure.status, failure.text):
            return True
        self._wrong.append(f"a reader was refused: {failure}")
        return False

    def _was_troubled(self, trouble: AtByte, byte: int) -> None:
        where = f"byte {byte} of reader {self._nth}"
        self._history.inject(self._plan.number, trouble.fault, where)

    def _connected(self) -> None:
        self.told.connected_at.append((time.monotonic(), len(self.told.events)))
        self._note(f"connects behind {len(self.told.events)}")

    def _received(self, event: Event) -> None:
        self.told.events.append(event)
        self._tell_listeners()
        if self._nth == 0:
            self._note(f"received {event.id[-8:]} {event.name}")
            if len(self.told.events) - 1 in self._plan.kill_after_send:
                self._kill_the_writer_of(event)

    def _kill_the_writer_of(self, event: Event) -> None:
        stream_id = self.told.stream_id
        pid = self._traffic.writers.get((stream_id, event.seq))
        if pid is not None and self._sandboxes.kill(pid):
            where = f"process {pid} at {event.seq}"
            self._history.inject(self._plan.number, Fault.KILL_AFTER_SEND, where)
            self._traffic.killed.append((stream_id, pid, event.at))

    def _tell_listeners(self) -> None:
        for listener in self._listeners:
            listener()

    def _note(self, what: str) -> None:
        self._history.note(self._plan.number, f"reader {self._nth} {what}")
