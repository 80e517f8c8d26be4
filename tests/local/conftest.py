import asyncio
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest

from local import Options, Running, serve
from local.options import PROJECT
from tests.local.processes import PATIENCE, until

# Made once, because it takes longer than the rest of a client.
TLS = ssl.create_default_context()
TASK = Path(__file__).parent / "task"


class Gate:
    """Lets a runtime report how far it is, and wait until the test lets it proceed."""

    def __init__(self) -> None:
        self._calls: asyncio.Queue[tuple[str, asyncio.StreamWriter]] = asyncio.Queue()
        self._callers: list[asyncio.StreamWriter] = []
        self.address = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.address = "{}:{}".format(*server.sockets[0].getsockname())
        try:
            yield
        finally:
            server.close()
            for writer in self._callers:
                writer.close()
            await server.wait_closed()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._callers.append(writer)
        self._calls.put_nowait(((await reader.readline()).decode().strip(), writer))

    async def call(self) -> tuple[str, Callable[[], None]]:
        """Return the word of the next call, and a function that lets the caller proceed."""
        async with asyncio.timeout(PATIENCE):
            word, writer = await self._calls.get()
        return word, writer.close

    async def expect(self, word: str) -> Callable[[], None]:
        called, proceed = await self.call()
        assert called == word
        return proceed


class Lines:
    """The emulator's log, which a test can search."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = asyncio.Event()

    def __call__(self, line: str) -> None:
        print(line)  # noqa: T201 - pytest shows it when a test fails
        self.lines.append(line)
        self._more.set()

    async def seen(self, *parts: str) -> str:
        """Wait for a line with all these parts."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self._more.clear()
                for line in self.lines:
                    if all(part in line for part in parts):
                        return line
                await self._more.wait()


@dataclass(frozen=True)
class Emulator:
    """A running emulator with its client, its gate and its log."""

    running: Running
    client: httpx.AsyncClient
    gate: Gate
    log: Lines
    task_root: Path

    async def pid(self) -> int:
        """Return the id of the process that serves a request."""
        pid: int = (await self.client.get("/pid")).json()
        return pid

    async def sandboxes(self) -> list[dict[str, Any]]:
        response = await self.client.get("/_local/sandboxes")
        sandboxes: list[dict[str, Any]] = response.json()
        return sandboxes

    async def sandbox(self, name: str = "sandbox-1") -> dict[str, Any]:
        return next(each for each in await self.sandboxes() if each["name"] == name)

    async def act(self, verb: str, name: str = "sandbox-1") -> httpx.Response:
        return await self.client.post(f"/_local/sandboxes/{name}/{verb}")

    async def until(self, condition: Callable[[list[dict[str, Any]]], bool]) -> None:
        """Wait for the sandboxes to meet a condition."""

        async def met() -> bool:
            return condition(await self.sandboxes())

        await until(met)


Emulate: TypeAlias = Callable[..., AbstractAsyncContextManager[Emulator]]


@pytest.fixture(scope="session")
def dynamodb_url() -> Iterator[str]:
    command = [sys.executable, "-m", "local.moto_server"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture
def task_root(tmp_path: Path) -> Path:
    """A copy of the scripted function, which a test may change."""
    return shutil.copytree(TASK, tmp_path / "task")


@pytest.fixture
def emulate(dynamodb_url: str, task_root: Path, monkeypatch: pytest.MonkeyPatch) -> Emulate:
    """Return a function that runs an emulator inside an `async with`.

    A longer TURNAROUND waits for a runtime that polls late because the machine is busy.
    """
    monkeypatch.setattr("local.pool.TURNAROUND", PATIENCE)

    @asynccontextmanager
    async def run_emulator(**changes: Any) -> AsyncIterator[Emulator]:
        gate, lines = Gate(), Lines()
        async with gate.open():
            env = {"GATE": gate.address, **changes.pop("env", {})}
            usual: dict[str, Any] = {
                "port": 0,
                "provider": "demo",
                "task_root": task_root,
                "dynamodb_url": dynamodb_url,
            }
            options = Options(env=env, **(usual | changes))
            async with (
                serve(options, lines) as running,
                httpx.AsyncClient(
                    base_url=running.url, timeout=PATIENCE, trust_env=False, verify=TLS
                ) as client,
            ):
                yield Emulator(running, client, gate, lines, task_root)

    return run_emulator
