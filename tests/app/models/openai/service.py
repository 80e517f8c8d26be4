"""A server of chat completions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.app.models.http.model_server import Reply, model_server
from tests.app.models.openai.wire import DONE, TURN, USAGE, WIRE, call, calls, chunk
from tests.app.models.services import Service, end_of, escaped


@asynccontextmanager
async def service(_: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    async with model_server() as server:
        running = Service(
            WIRE.provider(server.url),
            text=escaped(lambda text: chunk({"content": text})),
            thinking=escaped(lambda text: chunk({"reasoning": text})),
            end=[chunk({}, "stop"), USAGE, DONE],
            turn=TURN,
            whole=TURN.index(USAGE),
            cut_call=[
                *TURN[:8],
                calls(call(1, id="toolu_2", name="weather", arguments='{"city": "Z')),
                chunk({}, "length"),
                DONE,
            ],
        )
        server.respond = lambda asked: Reply(running.take(asked.body), end_of(running))
        yield running
