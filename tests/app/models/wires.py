"""The wires of the services behind HTTP, and the providers that read them.

Each provider has its own `wire.py`; `test_http_providers.py` runs over all of them.
"""

import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from app.events import Answer, Done, Thinking
from app.exceptions import ProviderError
from app.models.base import Message, Partial, Provider, Request
from app.providers import PROVIDERS
from durable_stream import Event

Connect = Callable[..., Provider]

FOLDER = Path(__file__).parent

KEY = "sk-not-to-be-told"
PROMPT = "a prompt that is not to be told"
REQUEST = Request(messages=(Message("user", PROMPT),), model="a-model", max_tokens=100)
# A line separator to Unicode, but not to SSE; and more than one byte a character.
NOTHING = Partial()
DELTAS: list[Event] = [
    Thinking("hm… "),
    Answer("naïve\u2028café"),
    Answer(" 🚀\n\n"),
    Answer("data: the end"),
    Done("stop", 11, 7),
]


def frame(data: Any, event: str | None = None) -> bytes:
    """One event, from a server that escapes no character in its JSON."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


@dataclass(frozen=True)
class Wire:
    """One kind of service: the frames that mean `DELTAS`, and the provider that reads them.

    The answer is complete after `completing` frames. `unknown_end` are frames that end an answer
    without text for an unknown reason.
    """

    name: str
    create: Callable[..., Provider]
    frames: Sequence[bytes]
    completing: int
    unknown_end: Sequence[bytes]

    def provider(self, url: str, **environ: str) -> Provider:
        address = {f"{self.name.upper()}_BASE_URL": url, f"{self.name.upper()}_API_KEY": KEY}
        return self.create({"MODELS": "a-model", **address, **environ})


def all_wires() -> list[Wire]:
    """The wires of the listed providers, each from `wire.py` in its folder."""
    names = [each.name for each in PROVIDERS if (FOLDER / each.name / "wire.py").exists()]
    return [import_module(f"tests.app.models.{name}.wire").WIRE for name in names]


async def asked(
    provider: Provider, request: Request = REQUEST, delivered: Partial = NOTHING
) -> tuple[list[Event], str | None]:
    """The deltas, and the code of the failure that ended them."""
    deltas: list[Event] = []
    try:
        async with aclosing(provider.stream(request, delivered)) as stream:
            async for delta in stream:
                deltas.append(delta)  # noqa: PERF401 - deltas before a failure count
    except ProviderError as error:
        return deltas, error.code
    return deltas, None


async def is_free(provider: Provider) -> bool:
    """True if the failure of a request counts as free."""
    return (await failure_of(provider)).free


async def failure_of(provider: Provider) -> ProviderError:
    """The failure of a request."""
    stream = provider.stream(REQUEST, NOTHING)
    with pytest.raises(ProviderError) as failed:
        await _to_the_end(stream)
    return failed.value


async def _to_the_end(stream: AsyncGenerator[Event]) -> None:
    async for _ in stream:
        pass
