"""Asks a provider, and returns its deltas and its failure."""

import asyncio
from collections.abc import Sequence

from app.events import Answer, Done, Thinking
from app.exceptions import ProviderError
from app.models.base import Message, Partial, Request
from app.models.bedrock import BedrockProvider
from durable_stream import Event

MODEL = "us.amazon.nova-lite-v1:0"
REQUEST = Request(messages=(Message("user", "Say hello"),), model=MODEL, max_tokens=77)
NOTHING = Partial()

# The deltas of tests.app.models.bedrock.frames.ANSWER, frame by frame.
DELTAS = (
    None,
    Thinking("Hm. "),
    None,
    None,
    Answer("Hello"),
    Answer(", wörld"),
    None,
    Done("stop", None, None),
    Done("stop", 11, 22),
)


async def asked(
    provider: BedrockProvider, request: Request = REQUEST, said: Partial = NOTHING
) -> tuple[list[Event], str | None]:
    """The deltas, and the code of the failure that ended them."""
    deltas: list[Event] = []
    async with asyncio.timeout(10):
        try:
            async for delta in provider.stream(request, said):
                deltas.append(delta)  # noqa: PERF401 - they are wanted up to a failure
        except ProviderError as error:
            return deltas, error.code
    return deltas, None


def text_of(deltas: Sequence[Event]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, Answer))
