"""The base class of providers, by the example in docs/models.md."""

import re
from pathlib import Path
from typing import Any

import pytest

from app.events import Answer, Done
from app.models.base import Message, Partial, Provider, Request
from durable_stream import Event

pytestmark = pytest.mark.anyio

DOCS = Path(__file__).parents[3] / "docs/models.md"
IMPORTS = """
from collections.abc import AsyncGenerator, Mapping
from typing import Self
from app.events import Answer, Done
from app.models.base import Request
from app.models.deadlines import Deadlines, IdleTimer
from app.models.model_provider import ModelProvider, models_from_environ
from durable_stream import Event
"""
REQUEST = Request(messages=(Message("user", "one two"),), model="echo-1", max_tokens=50)


@pytest.fixture
def provider() -> Provider:
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(IMPORTS + example, names)  # noqa: S102 - the example of our own documentation
    echo: Provider = names["EchoProvider"].from_environ({"MODELS": "echo-1"})
    return echo


async def streamed(provider: Provider, delivered: Partial) -> list[Event]:
    return [event async for event in provider.stream(REQUEST, delivered)]


async def test_a_provider_that_only_sends_a_request_is_whole(provider: Provider) -> None:
    events = await streamed(provider, Partial())
    await provider.close()

    assert events == [Answer("one "), Answer("two "), Done("stop", 1, 1)]
    assert provider.models == ("echo-1",)


async def test_such_a_provider_is_asked_for_the_rest(provider: Provider) -> None:
    events = await streamed(provider, Partial(answer="one", tokens=20))

    assert provider.continuation(REQUEST) == "asked"
    prompt = "".join(event.text for event in events if isinstance(event, Answer))
    assert "<delivered>one</delivered>" in prompt


async def test_without_tokens_left_a_model_is_not_asked(provider: Provider) -> None:
    assert await streamed(provider, Partial(answer="one", tokens=50)) == [Done("length", 0, 0)]
