"""A restore from a snapshot, against the start of a process.

The emulator runs the function as it is deployed. It has no sandbox when a request comes, so that
the request waits for one: restored from the snapshot that it has, or started from nothing. The
model answers at once, because its time is not ours.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx

import local
from proof.bench.dynamodb import in_memory
from proof.bench.samples import Sample
from proof.bench.table import Row, at_most

TITLE = "SnapStart, as the emulator has it"

_ROUNDS = 15
_PATIENCE = 60.0
_TOKEN = ("event: thinking", "event: answer")
_ENV = {"DEMO_FIRST_TOKEN_MS": "0", "DEMO_TOKENS": "1", "POWERTOOLS_LOG_LEVEL": "ERROR"}


def rows() -> Iterator[Row]:
    """Time to the first token of a request that finds no sandbox."""
    with in_memory() as store:
        restored, started = asyncio.run(_waits(store.url))
    yield Row(
        what="request without a sandbox to the first token",
        ours=Sample(restored),
        theirs=Sample(started),
        unit="ms",
        against="the same without a snapshot",
        target=at_most(0.5, aim=0.3),
    )


async def _waits(dynamodb_url: str) -> tuple[list[float], list[float]]:
    restored, started = list[float](), list[float]()
    async with (
        _function(dynamodb_url, snapstart=True) as with_snapshot,
        _function(dynamodb_url, snapstart=False) as without,
    ):
        for _ in range(_ROUNDS):
            restored.append(await with_snapshot.until_first_token())
            started.append(await without.until_first_token())
    return restored, started


@dataclass(frozen=True, slots=True)
class _Function:
    """The function's URL, and the emulator's control of its sandboxes."""

    http: httpx.AsyncClient

    async def until_first_token(self) -> float:
        """The milliseconds of a request that finds no sandbox."""
        for sandbox in (await self.http.get("/_local/sandboxes")).json():
            await self.http.post(f"/_local/sandboxes/{sandbox['name']}/kill")
        asked_at = time.perf_counter()
        body = {"prompt": "first token"}
        async with self.http.stream("POST", "/streams?stream=true", json=body) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line in _TOKEN:
                    return (time.perf_counter() - asked_at) * 1e3
        raise RuntimeError("the answer has no token")


@asynccontextmanager
async def _function(dynamodb_url: str, *, snapstart: bool) -> AsyncIterator[_Function]:
    """The application in the emulator, with its snapshot taken, and its files read before."""
    chosen = local.Options(
        port=0, provider="demo", dynamodb_url=dynamodb_url, snapstart=snapstart, env=_ENV
    )
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(local.serve(chosen, _quiet))
        await running.warm_up()
        client = httpx.AsyncClient(base_url=running.url, timeout=_PATIENCE, trust_env=False)
        yield _Function(await stack.enter_async_context(client))


def _quiet(_: str) -> None:
    """Discard the lines of the sandboxes."""
