"""Fixtures for the tests of providers over HTTP, which define `wire` themselves."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.models.base import Provider
from tests.app.models.http.model_server import ModelServer, model_server
from tests.app.models.wires import Connect, Wire


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    """A model's service that answers as the test says, for 30 seconds at most."""
    async with model_server() as served, asyncio.timeout(30):
        yield served


@pytest.fixture
async def connect(wire: Wire, server: ModelServer) -> AsyncIterator[Connect]:
    """Makes providers that ask the server, or another address, and closes them."""
    made: list[Provider] = []

    def connect(url: str | None = None, **environ: str) -> Provider:
        made.append(wire.provider(url or server.url, **environ))
        return made[-1]

    yield connect
    for provider in made:
        await provider.close()
