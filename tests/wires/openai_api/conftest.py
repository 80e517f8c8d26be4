"""Fixtures: a function URL on this machine, and OpenAI's client of it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from openai import AsyncOpenAI

from tests.flows.conftest import Start
from tests.wires.served import Deployed, starting

USUAL = {
    "LEASE": "1.2",
    "DEMO_TOKENS": "20",
    "DEMO_TOKENS_PER_SECOND": "200",
    "DEMO_FIRST_TOKEN_MS": "20",
}


@dataclass(frozen=True)
class Served(Deployed):
    """A function, and a client of it."""

    openai: AsyncOpenAI

    PATHS = "/v1/"

    async def snapshot(self, stream_id: str, **headers: str) -> dict[str, Any]:
        """The stream of a response or of a completion, by the id that its client has."""
        stream_id = stream_id.removeprefix("resp_").removeprefix("chatcmpl-")
        return await super().snapshot(stream_id, **headers)


def client(url: str, **options: Any) -> AsyncOpenAI:
    """A client that sends no request to anyone else."""
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", **{"timeout": 30} | options)


class Serve(Protocol):
    def __call__(
        self, env: dict[str, str] | None = None, **options: Any
    ) -> AbstractAsyncContextManager[Served]: ...


@pytest.fixture
def serve(start: Start) -> Serve:
    """A way to run a function with a client, for the length of an `async with`."""
    run = starting(start, "tests.wires.openai_api.function.handler", USUAL)

    @asynccontextmanager
    async def served(env: dict[str, str] | None = None, **options: Any) -> AsyncIterator[Served]:
        async with run(env, **options) as function, client(function.url) as openai:
            yield Served(function, openai)

    return served
