"""Asking a provider, and telling what came of it."""

import asyncio
from collections.abc import Sequence

from app.exceptions import ProviderError
from app.models.base import (
    AnswerDelta,
    Delta,
    Finish,
    Message,
    Partial,
    Request,
    ThinkingDelta,
)
from app.models.bedrock import BedrockProvider

MODEL = "us.amazon.nova-lite-v1:0"
REQUEST = Request(messages=(Message("user", "Say hello"),), model=MODEL, max_tokens=77)
NOTHING = Partial()

# What tests.app.models.bedrock.frames.ANSWER says, frame by frame.
DELTAS = (
    None,
    ThinkingDelta("Hm. "),
    None,
    None,
    AnswerDelta("Hello"),
    AnswerDelta(", wörld"),
    None,
    Finish("stop", None, None),
    Finish("stop", 11, 22),
)


async def asked(
    provider: BedrockProvider, request: Request = REQUEST, said: Partial = NOTHING
) -> tuple[list[Delta], str | None]:
    """The deltas, and the code of the failure that they ended with."""
    deltas: list[Delta] = []
    async with asyncio.timeout(10):
        try:
            async for delta in provider.stream(request, said):
                deltas.append(delta)  # noqa: PERF401 - they are wanted up to a failure
        except ProviderError as error:
            return deltas, error.code
    return deltas, None


def text_of(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, AnswerDelta))
