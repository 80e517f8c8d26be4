"""Fixtures for the tests of Bedrock: a server, and a provider that asks it."""

import threading
from collections.abc import AsyncIterator

import pytest

from app.models.bedrock import BedrockProvider
from app.models.deadlines import Deadlines
from tests.app.models.bedrock.asking import MODEL
from tests.app.models.bedrock.server import Server, serving_at


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    async with serving_at(monkeypatch) as server:
        yield server


@pytest.fixture
async def provider(server: Server) -> AsyncIterator[BedrockProvider]:
    assert server.url, "the client finds its way through the environment"
    provider = BedrockProvider((MODEL,), Deadlines())
    yield provider
    await provider.close()
    for thread in threading.enumerate():
        if thread.name == "bedrock":
            thread.join(5)
            assert not thread.is_alive(), "a thread outlived its stream"
