"""What the tests of the providers over HTTP share; `wire` is theirs to name."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.models.base import Provider
from tests.app.models.http.model_server import ModelServer, model_server
from tests.app.models.wires import Connect, Wire


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    """A model's service that answers as the test tells it to; no test takes for ever."""
    async with model_server() as served, asyncio.timeout(30):
        yield served


@pytest.fixture
async def connect(wire: Wire, server: ModelServer) -> AsyncIterator[Connect]:
    """A way to make providers, of the server unless another is named; they are closed."""
    made: list[Provider] = []

    def connect(url: str | None = None, **environ: str) -> Provider:
        made.append(wire.provider(url or server.url, **environ))
        return made[-1]

    yield connect
    for provider in made:
        await provider.close()
