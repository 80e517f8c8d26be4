"""A server of Anthropic's Messages API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.app.models.anthropic.wire import (
    MESSAGE_STOP,
    WIRE,
    block_delta,
    message_delta,
    message_start,
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
        )
        start = message_start(input_tokens=11, output_tokens=1)
        server.respond = lambda asked: Reply([start, *running.take(asked.body)], end_of(running))
        yield running
