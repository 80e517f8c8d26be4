"""Fixtures: a function URL on this machine, and OpenAI's client of it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from openai import AsyncOpenAI

from tests.flows import conftest as flows
from tests.flows.conftest import Function

ROOT = Path(__file__).parents[3]

start = flows.start
moto_url = flows.moto_url
dynamodb_url = flows.dynamodb_url


@pytest.fixture(scope="session")
def task_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that would be deployed, with the function of these tests beside them."""
    root = tmp_path_factory.mktemp("openai-task")
    for name in ("bootstrap", "lambda_stream", "durable_stream", "app"):
        (root / name).symlink_to(ROOT / "src" / name)
    (root / "function.py").symlink_to(Path(__file__).with_name("function.py"))
    return root


@dataclass(frozen=True)
class Served:
    """A function, and a client of it."""

    function: Function
    openai: AsyncOpenAI

    async def snapshot(self, id_: str) -> dict[str, Any]:
        """What the server's own wire says of a response or a completion."""
        stream_id = id_.removeprefix("resp_").removeprefix("chatcmpl-")
        answer = await self.function.http.get(f"/streams/{stream_id}")
        assert answer.status_code == 200, answer.text
        snapshot: dict[str, Any] = answer.json()
        return snapshot

    async def writing(self) -> list[str]:
        """The names of the sandboxes that answer OpenAI's clients."""
        return [
            sandbox["name"]
            for sandbox in await self.function.sandboxes()
            if any(each["path"].startswith("/v1/") for each in sandbox["invocations"])
        ]

    async def kill_writers(self) -> None:
        """Kill every sandbox that answers one."""
        for name in await self.writing():
            await self.function.do("kill", name)


def client(url: str, **options: Any) -> AsyncOpenAI:
    """A client that sends no request to anyone else."""
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", **{"timeout": 30} | options)


class Serve(Protocol):
    def __call__(
        self, env: dict[str, str] | None = None, **options: Any
    ) -> AbstractAsyncContextManager[Served]: ...


@pytest.fixture
def serve(start: flows.Start) -> Serve:
    """A way to run a function with a client, for the length of an `async with`."""

    @asynccontextmanager
    async def served(env: dict[str, str] | None = None, **options: Any) -> AsyncIterator[Served]:
        usual = {
            "DEMO_TOKENS": "20",
            "DEMO_TOKENS_PER_SECOND": "200",
            "DEMO_FIRST_TOKEN_MS": "20",
        }
        async with start({**usual, **(env or {})}, **options) as function:
            url = str(function.http.base_url).rstrip("/")
            async with client(url) as openai:
                yield Served(function, openai)

    return served
