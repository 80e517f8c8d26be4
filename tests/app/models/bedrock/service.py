"""A server of Bedrock's ConverseStream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.models.bedrock import BedrockProvider
from app.models.deadlines import Deadlines
from tests.app.models.bedrock import frames as bedrock
from tests.app.models.bedrock.server import Talk, serving_at
from tests.app.models.services import Service

MODEL = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"


@asynccontextmanager
async def service(environment: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    async with serving_at(environment) as server:
        running = Service(
            BedrockProvider((MODEL,), Deadlines()),
            text=bedrock.text,
            thinking=lambda text: bedrock.reasoning(text=text),
            end=[bedrock.stop(), bedrock.usage()],
            turn=bedrock.TURN,
            whole=len(bedrock.TURN) - 1,
            cut_call=[
                *bedrock.TURN[:12],
                bedrock.tool_start("toolu_2", "weather", 3),
                bedrock.arguments('{"city": "Z', 3),
                bedrock.block_end(3),
                bedrock.stop("max_tokens"),
                bedrock.usage(),
            ],
        )

        async def answer(talk: Talk) -> None:
            await talk.head()
            await talk.chunks(bedrock.START, *running.take(dict(talk.body)))
            if running.held:
                await talk.hung_up_within(20)
            await talk.end()

        server.answer = answer
        yield running
