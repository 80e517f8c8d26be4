"""Fixtures of the flows: the emulator running the real bootstrap, and clients of it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

import local
from tests.event_source import Event, EventSource
from tests.store import delete_tables, moto

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Function:
    """A running function URL, and hands to shake its sandboxes with."""

    http: httpx.AsyncClient
    lines: list[str]
    dynamodb_url: str

    @property
    def url(self) -> str:
        return str(self.http.base_url).rstrip("/")

    async def create(self, prompt: str, **members: Any) -> dict[str, Any]:
        answer = await self.http.post("/streams", json={"prompt": prompt, **members})
        assert answer.status_code == httpx.codes.CREATED, answer.text
        created: dict[str, Any] = answer.json()
        return created

    def event_source(
        self, url: str, on_event: Callable[[Event], None] = lambda _: None
    ) -> EventSource:
        return EventSource(self.http, url, on_event)

    async def sandboxes(self) -> list[dict[str, Any]]:
        sandboxes: list[dict[str, Any]] = (await self.http.get("/_local/sandboxes")).json()
        return sandboxes

    async def serving(self, path: str) -> list[str]:
        """The names of the sandboxes that have a request for this path under way."""
        return [
            sandbox["name"]
            for sandbox in await self.sandboxes()
            if any(each["path"] == path for each in sandbox["invocations"])
        ]

    async def do(self, verb: str, sandbox: str) -> None:
        answer = await self.http.post(f"/_local/sandboxes/{sandbox}/{verb}")
        assert answer.status_code == httpx.codes.OK, answer.text


Start = Callable[..., AbstractAsyncContextManager[Function]]


@pytest.fixture(scope="session")
def task_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that would be deployed, with the tests' function beside the application."""
    root = tmp_path_factory.mktemp("task")
    for name in ("bootstrap", "lambda_stream", "durable_stream", "app"):
        (root / name).symlink_to(ROOT / "src" / name)
    (root / "function.py").symlink_to(Path(__file__).with_name("function.py"))
    return root


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    with moto() as url:
        yield url


@pytest.fixture
def dynamodb_url(moto_url: str) -> str:
    """A DynamoDB without a table: starting one for each flow would take longer than most flows."""
    delete_tables(moto_url)
    return moto_url


@pytest.fixture
def start(task_root: Path, dynamodb_url: str, monkeypatch: pytest.MonkeyPatch) -> Start:
    """A way to run function URLs, each for the length of an `async with`.

    On a busy machine a sandbox takes its time to ask for more work; no flow is about that.
    """
    monkeypatch.setattr("local.pool.TURNAROUND", 2.0)

    @asynccontextmanager
    async def started(
        env: Mapping[str, str] | None = None, **options: Any
    ) -> AsyncIterator[Function]:
        lines: list[str] = []
        usual: dict[str, Any] = {
            "handler": "function.handler",
            "provider": "demo",
            "dynamodb_url": dynamodb_url,
        }
        chosen = local.Options(
            port=0,
            task_root=task_root,
            env={"POWERTOOLS_LOG_LEVEL": "DEBUG", **(env or {})},
            **(usual | options),
        )
        limits = httpx.Limits(max_connections=None)
        async with (
            local.serve(chosen, lines.append) as running,
            httpx.AsyncClient(base_url=running.url, limits=limits, timeout=30) as http,
        ):
            yield Function(http, lines, running.dynamodb_url)

    return started


class Gate:
    """The model's side of a gated provider: one conversation for each generation."""

    def __init__(self) -> None:
        self._arrivals: asyncio.Queue[Conversation] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []

    async def next(self) -> "Conversation":
        async with asyncio.timeout(40):
            return await self._arrivals.get()

    @property
    def waiting(self) -> int:
        return self._arrivals.qsize()

    async def arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        line = (await reader.readline()).decode().rstrip("\n").replace("\u2028", "\n")
        prompt, _, continue_from = line.partition("|")
        self._arrivals.put_nowait(Conversation(prompt, continue_from, reader, writer))

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@dataclass(frozen=True)
class Conversation:
    """One generation that waits for its words."""

    prompt: str
    continue_from: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, text: str) -> None:
        line = text.replace("\n", "\u2028")
        self.writer.write(f"{line}\n".encode())
        await self.writer.drain()

    async def finish(self) -> None:
        await self.say("")

    async def hung_up(self) -> None:
        """Return when the provider has closed its connection."""
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionResetError):
                assert await self.reader.read() == b""


@pytest.fixture
async def gate() -> AsyncIterator[tuple[Gate, dict[str, str]]]:
    """A gate, and the environment that sends a function's generations to it."""
    gate = Gate()
    server = await asyncio.start_server(gate.arrived, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield gate, {"GATE": f"127.0.0.1:{port}"}
    gate.close()
    server.close()


def log_entries(lines: list[str]) -> list[dict[str, Any]]:
    """The application's own JSON lines among all that was logged."""
    payloads = (line.partition(" | ")[2] for line in lines)
    return [json.loads(payload) for payload in payloads if payload.startswith("{")]
