"""The kill harness: serve an example, and kill its writers at random moments.

The example runs as a user runs it, by `python -m local --agent examples.<name>`, but for a function
that gives a dead writer up sooner and keeps a ledger (tests/examples/function.py). Two readers
follow each stream over HTTP, one from its beginning and one that joins late. Both reconnect with
`Last-Event-ID`.
"""

import asyncio
import os
import random
import sys
from bisect import bisect_right
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from tests.event_source import Event, EventSource, PermanentFailure
from tests.examples import ledger

ROOT = Path(__file__).parents[2]
PYTHON = Path(sys.executable)
EXAMPLES_PYTHON = ROOT / ".venv-examples/bin/python"

# The streams that run side by side, and how long one may take on a busy machine.
AT_ONCE = 6
PATIENCE = 90


@dataclass(frozen=True)
class Moment:
    """A moment of a run: so many seconds behind its record of this number."""

    records: int
    seconds: float


@dataclass(frozen=True)
class Run:
    """One stream: the events as each reader received them, the kills, and the side effects.

    `snapshot` is the state that the server tells.
    """

    readers: Sequence[Sequence[Event]]
    snapshot: Mapping[str, Any]
    effects: Sequence[ledger.Effect]
    killed: Sequence[str] = ()

    @property
    def events(self) -> Sequence[Event]:
        return self.readers[0]


class Reader:
    """A client that follows a stream, and that a test can wait for."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._news = asyncio.Event()
        self._source = EventSource(http, url, lambda _: self._news.set())
        self._following = asyncio.create_task(self._follow())

    @property
    def events(self) -> list[Event]:
        return self._source.events

    async def read(self, number: int) -> None:
        """Return when so many events have come, or the last one."""
        while len(self.events) < number and not self._following.done():
            self._news.clear()
            woken = asyncio.create_task(self._news.wait())
            await asyncio.wait((woken, self._following), return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()

    async def attempt(self, number: int) -> None:
        """Return when this attempt has begun, or all is over."""
        while not self.done and attempt_of(self.events) < number:
            await self.read(len(self.events) + 1)

    @property
    def done(self) -> bool:
        return self._following.done() or any(event.name == "done" for event in self.events)

    async def end(self) -> list[Event]:
        return await self._following

    async def _follow(self) -> list[Event]:
        """Follow as `client.js` does: a gateway's 502 for a killed sandbox is not the end."""
        while True:
            with suppress(PermanentFailure):
                return await self._source.follow()
            self._source.retry_ms = min(self._source.retry_ms, 500)
            await asyncio.sleep(self._source.retry_ms / 1000)


@dataclass
class Example:
    """A served example, and all its runs so far."""

    http: httpx.AsyncClient
    ledger: Path
    body: Mapping[str, Any]
    randomness: random.Random
    runs: list[Run] = field(default_factory=list, init=False)
    _length: float = field(default=0.0, init=False)

    async def undisturbed(self) -> Run:
        """A run without a kill; the moments of later runs are chosen from it."""
        await self._run(())  # Sandboxes start, and modules are compiled.
        run = await self._run(())
        self._length = run.events[-1].at - run.events[0].at
        return run

    async def kill(self, kills: int, model: Run) -> None:
        """Runs with so many kills together, at random moments that cover the whole run."""
        room = asyncio.Semaphore(AT_ONCE)
        plans = _plans(kills, model, self.randomness)

        async def one(plan: Sequence[Moment]) -> None:
            async with room:
                await self.kill_as_planned(plan)

        async with asyncio.TaskGroup() as group:
            for plan in plans:
                group.create_task(one(plan))

    async def kill_as_planned(self, plan: Sequence[Moment]) -> Run:
        """A run whose writers were all killed as planned: if its end comes first, another one."""
        for _ in range(10):
            run = await self._run(plan)
            if len(run.killed) == len(plan):
                return run
            # The end came first: a moment nearer to the beginning.
            plan = [Moment(each.records - each.records // 6 - 1, each.seconds) for each in plan]
        raise AssertionError(f"no run could be killed at {plan}")

    async def _run(self, plan: Sequence[Moment]) -> Run:
        created = await self._asked("POST", "/streams", json=dict(self.body))
        url, stream_id = created["events_url"], created["id"]
        early = Reader(self.http, url)
        joins = asyncio.create_task(self._join_late(url))
        async with asyncio.timeout(PATIENCE):
            killed: list[str] = []
            for attempt, moment in enumerate(plan, start=1):
                killed += await self._kill(stream_id, url, early, attempt, moment)
            readers = [await early.end(), await (await joins).end()]
            snapshot = await self._asked("GET", created["url"])
        run = Run(readers, snapshot, ledger.effects(self.ledger, stream_id), killed)
        self.runs.append(run)
        return run

    async def _join_late(self, url: str) -> Reader:
        await asyncio.sleep(self.randomness.uniform(0, 1.5 * self._length))
        return Reader(self.http, url)

    async def _asked(self, method: str, url: str, **body: Any) -> dict[str, Any]:
        """The answer to a request; another one if its sandbox is killed on behalf of a stream."""
        answer = await self.http.request(method, url, **body)
        if answer.status_code == httpx.codes.BAD_GATEWAY:
            return await self._asked(method, url, **body)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def _kill(
        self, stream_id: str, url: str, reader: Reader, attempt: int, moment: Moment
    ) -> list[str]:
        """Kill the process that writes; the kind of its last record, or nothing at the end."""
        await reader.attempt(attempt)
        behind = moment.records if attempt == 1 else len(reader.events) + moment.records
        await reader.read(behind)
        await asyncio.sleep(moment.seconds)
        if reader.done:
            return []
        pid = ledger.writer(self.ledger, stream_id)
        sandboxes = (await self.http.get("/_local/sandboxes")).json()
        names = [
            each["name"]
            for each in sandboxes
            if each["pid"] == pid and url in [its["path"] for its in each["invocations"]]
        ]
        last = reader.events[-1].name
        answers = [await self.http.post(f"/_local/sandboxes/{name}/kill") for name in names]
        return [last for answer in answers if answer.status_code == httpx.codes.OK]


@asynccontextmanager
async def served(
    module: str,
    folder: Path,
    body: Mapping[str, Any],
    *,
    python: Path = PYTHON,
    env: Mapping[str, object] = MappingProxyType({}),
) -> AsyncIterator[Example]:
    """Serve an example for the length of the block; print the seed of what is random."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"SEED={seed} repeats these moments")  # noqa: T201 - pytest shows it for a failed test
    file = folder / "ledger"
    command = [str(python), "-m", "local", "--port", "0", "--provider", "demo"]
    command += ["--agent", module, "--handler", "tests.examples.function.handler"]
    command += ["--sandboxes", str(8 * AT_ONCE), "--env", f"{ledger.LEDGER}={file}"]
    for name, value in env.items():
        command += ["--env", f"{name}={value}"]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tools")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1_000_000,
    )
    assert process.stdout is not None
    reading: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(PATIENCE):
            url = await _url(process.stdout)
        reading = asyncio.create_task(_read_on(process.stdout, folder / "log"))
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=url, limits=limits, timeout=30, trust_env=False
        ) as http:
            yield Example(http, file, body, random.Random(seed))  # noqa: S311
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        if reading is not None:
            await reading


async def _url(output: asyncio.StreamReader) -> str:
    """The URL that the emulator prints once the function has started."""
    lines: list[str] = []
    async for line in output:
        lines.append(line.decode())
        if lines[-1].startswith("page "):
            return lines[-1].split()[1].rstrip("/")
    raise AssertionError(f"the emulator does not start:\n{''.join(lines)}")


async def _read_on(output: asyncio.StreamReader, log: Path) -> None:
    """Keep what the emulator prints in a file, so that it never waits for us."""
    with log.open("wb") as file:
        async for line in output:
            file.write(line)


def attempt_of(events: Sequence[Event]) -> int:
    """The number of the attempt to which the last of these events belongs."""
    claims = [event for event in events if event.name == "claim"]
    return int(claims[-1].data["attempt"]) if claims else 0


def _plans(kills: int, model: Run, randomness: random.Random) -> list[list[Moment]]:
    """Plans of one moment each; every fifth kill is a second one in a plan.

    The moments cover the whole run evenly: half of them its time, the others its records, behind
    which a process is killed at once.
    """
    times = [event.at for event in model.events]
    length = times[-1] - times[0]
    plans: list[list[Moment]] = []
    seconds = kills // 5
    for number in range(kills - seconds):
        place = (number + randomness.random()) / (kills - seconds)
        at = times[0] + length * place
        records = bisect_right(times, at)
        moment = Moment(records, at - times[records - 1])
        if number % 2:
            moment = Moment(1 + int(place * len(times)), randomness.uniform(0, 0.02))
        plans.append([moment])
    for plan in randomness.sample(plans, seconds):
        plan.append(Moment(randomness.randrange(4), randomness.uniform(0, length / 4)))
    return plans
