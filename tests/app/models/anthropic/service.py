"""A server of Anthropic's Messages API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.app.models.anthropic.wire import (
    MESSAGE_STOP,
    TURN,
    WIRE,
    arguments,
    block_delta,
    block_stop,
    message_delta,
    message_start,
    tool_start,
)
from tests.app.models.http.model_server import Reply, model_server
from tests.app.models.services import Service, end_of, escaped


@asynccontextmanager
async def service(_: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    async with model_server() as server:
        running = Service(
            WIRE.provider(server.url, MODELS="claude-sonnet-4-5"),
            text=escaped(lambda text: block_delta(type="text_delta", text=text)),
            thinking=escaped(lambda text: block_delta(type="thinking_delta", thinking=text)),
            end=[message_delta("end_turn", output_tokens=7), MESSAGE_STOP],
            turn=TURN,
            whole=len(TURN),
            cut_call=[
                *TURN[:14],
                tool_start("toolu_2", "weather", 3),
                arguments('{"city": "Z', 3),
                block_stop(3),
                message_delta("max_tokens", output_tokens=100),
                MESSAGE_STOP,
            ],
        )
        start = message_start(input_tokens=11, output_tokens=1)
        server.respond = lambda asked: Reply([start, *running.take(asked.body)], end_of(running))
        yield running
