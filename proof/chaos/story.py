"""One stream from its creation to its end, with all its clients."""

import asyncio
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx

from proof.chaos.client import Client
from proof.chaos.faults import Fault
from proof.chaos.history import History
from proof.chaos.hostile import be_hostile, be_late
from proof.chaos.plan import Plan, Way
from proof.chaos.reader import Reader, Told
from proof.chaos.sandboxes import Sandboxes
from proof.chaos.traffic import Traffic

# For all of it: several leases, hand-overs and cold starts.
PATIENCE = 150.0
# Longer than a sandbox stays frozen, and than it takes to start on a busy machine.
_POST_SECONDS = 25.0
_DUPLICATES_BODY = "another question"


@dataclass
class Outcome:
    """The outcome of a plan; `wrong` has the things that were seen and may not be.

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
        # Each plan begins in one of them; a reader that reconnects may come to another.
        self._functions = functions[::-1] if plan.shared else functions
        self._client = Client(http, self._functions, lambda what: history.note(plan.number, what))
        self._traffic = traffic
        self._sandboxes = sandboxes
        self._history = history
        self._patience = patience

    async def run(self) -> Outcome:
        """Play it to the end, or until patience is over; count any error as this stream's."""
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
        path = f"/sse?{urlencode(plan.body)}"
        if plan.way is Way.POST:
            stream_id = await self._create()
            if not stream_id:
                return
            path = f"/streams/{stream_id}/events"
        async with asyncio.TaskGroup() as tasks:
            first = self._reader(0)
            reading = tasks.create_task(first.read(path))
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
            if plan.hostile and first.told.ended:
                end = first.told.events[-1]
                self.outcome.wrong += await be_late(self._client, end.id)

    # Making it

    async def _create_too(self, first: Reader) -> None:
        """Create it while another request with the same key creates and reads it."""
        stream_id = await self._create()
        if await first.heard(0) and stream_id:
            self._check_one({stream_id, first.told.stream_id})

    async def _create(self) -> str:
        """Create as a careful client does: again with the same key until there is an answer."""
        body, key, twice = self._plan.body, self._plan.key, self._plan.duplicates
        if twice:
            self._history.inject(self._plan.number, Fault.DUPLICATE_CREATE, key)
        answers = await asyncio.gather(
            *(self._post("/streams", body, key, nth=nth) for nth in range(max(1, twice)))
        )
        ids = {str(answer["id"]) for answer in answers if "id" in answer}
        self._check_one(ids)
        if twice:
            other = {**body, "prompt": f"{self._plan.prompt} {_DUPLICATES_BODY}"}
            await self._post("/streams", other, key, expected=httpx.codes.UNPROCESSABLE_ENTITY)
        return min(ids, default="")

    def _check_one(self, ids: set[str]) -> None:
        if len(ids) > 1:
            self.outcome.wrong.append(f"one Idempotency-Key made several streams: {sorted(ids)}")

    async def _post(
        self,
        path: str,
        body: object = None,
        key: str = "",
        *,
        nth: int = 0,
        expected: int = 0,
    ) -> dict[str, Any]:
        """The answer; empty if it is wrong."""
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

    def _reader(self, nth: int) -> Reader:
        """The nth reader, whose events are in the outcome from now on."""
        reader = Reader(
            self._plan,
            nth,
            functions=self._functions,
            traffic=self._traffic,
            sandboxes=self._sandboxes,
            history=self._history,
            wrong=self.outcome.wrong,
        )
        self.outcome.readers.append(reader.told)
        return reader

    async def _join(self, first: Reader, nth: int) -> None:
        """Read as another reader, once the stream is known."""
        if not await first.heard(nth % 7):
            return
        if nth == 1 and self._plan.crowded:
            self._history.inject(self._plan.number, Fault.CROWD, f"{self._plan.readers} readers")
        await self._reader(nth).read(f"/streams/{first.told.stream_id}/events")

    # Disturbing it

    async def _cancel(self, first: Reader, fault: Fault) -> None:
        """Stop the stream when the store asks for it; not at all if that never happens."""
        over = asyncio.create_task(self._traffic.over.wait())
        wanted = asyncio.create_task(self._traffic.cancel_wanted.wait())
        await asyncio.wait({over, wanted}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        wanted.cancel()
        if not self._traffic.cancel_wanted.is_set():
            return
        if fault is Fault.CANCEL:  # A race is counted where it takes place.
            self._history.inject(self._plan.number, fault, "now")
        if not await first.heard(0):
            return
        self.outcome.stopped = first.told.stream_id
        self.outcome.snapshot = await self._post(f"/streams/{first.told.stream_id}/cancel", nth=1)
        self._history.note(self._plan.number, f"cancel says {self.outcome.snapshot.get('status')}")

    async def _be_hostile(self, first: Reader) -> None:
        """Ask with cursors that no honest client has: each must be refused, none resumed."""
        if not await first.heard(3):
            return
        own = first.told.stream_id
        self._history.inject(self._plan.number, Fault.HOSTILE_CURSORS, own[:6])
        self.outcome.wrong += await be_hostile(self._client, own, self._plan.number)


def _leaves(error: Exception) -> Iterator[Exception]:
    """The errors themselves, without the groups that tasks put them in."""
    if isinstance(error, ExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
