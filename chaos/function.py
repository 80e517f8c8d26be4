"""What the sandboxes run: the application as it is shipped, watched and with its own clock.

Four things are added around it, none within: the sandbox says which process it is, its clock is
wrong by `LOCAL_CLOCK_OFFSET` seconds, calls to DynamoDB name the process (in their User-Agent), and
the demo provider reports to `GENERATIONS` (host:port) for as long as it generates.
"""

import asyncio
import os
import time

_offset = float(os.environ.get("LOCAL_CLOCK_OFFSET", "0"))
_true_time = time.time
time.time = lambda: _true_time() + _offset
os.environ["AWS_SDK_UA_APP_ID"] = f"pid-{os.getpid()}"

import math  # noqa: E402 - behind the clock
from collections.abc import AsyncGenerator  # noqa: E402
from contextlib import aclosing  # noqa: E402
from dataclasses import replace  # noqa: E402

from app.access.gate import from_environ  # noqa: E402
from app.application import create_app  # noqa: E402
from app.log import logger  # noqa: E402
from app.models.base import Continuation, Delta, Partial, Request  # noqa: E402
from app.models.demo import DemoProvider  # noqa: E402
from app.settings import Settings  # noqa: E402
from lambda_stream import Adapter  # noqa: E402


class ReportingProvider:
    """The demo, which holds a connection to the harness open while it generates.

    Its pace goes on where it was after a standstill, as a model's does whose reader has not been
    there: the demo by itself would catch up at once, and be over before it can be seen to go on.
    """

    models = ("demo",)

    def __init__(self, demo: DemoProvider, host: str, port: int) -> None:
        self._demo = replace(demo, tokens_per_second=math.inf)
        self._interval = 1 / demo.tokens_per_second
        self._host = host
        self._port = port

    def continuation(self, request: Request) -> Continuation:
        return self._demo.continuation(request)

    async def close(self) -> None:
        await self._demo.close()

    async def stream(self, request: Request, continue_from: Partial) -> AsyncGenerator[Delta]:
        _, writer = await asyncio.open_connection(self._host, self._port)
        try:
            # The writer's log lines name its stream: nothing else tells a provider.
            stream = logger.thread_safe_get_current_keys()["stream"]
            prompt = request.messages[-1].content
            writer.write(f"{os.getpid()} {stream} {prompt}\n".encode())
            async with aclosing(self._demo.stream(request, continue_from)) as deltas:
                async for delta in self._paced(deltas):
                    yield delta
        finally:
            writer.close()

    async def _paced(self, deltas: AsyncGenerator[Delta]) -> AsyncGenerator[Delta]:
        """Each in its time; what is late by more than a moment stays late."""
        clock = asyncio.get_running_loop().time
        due: float | None = None
        async for delta in deltas:
            at_least = clock() - _CATCHES_UP
            due = clock() if due is None else max(due + self._interval, at_least)
            await asyncio.sleep(max(0, due - clock()))
            yield delta


# What a busy machine holds up is made up for, in seconds; what a frozen process missed is not.
_CATCHES_UP = 0.5

print(f"process {os.getpid()}", flush=True)  # chaos.sandbox_log reads it
host, _, port = os.environ["GENERATIONS"].partition(":")
provider = ReportingProvider(DemoProvider.from_environ(os.environ), host, int(port))
handler = Adapter(create_app(Settings.from_environ(os.environ), provider, from_environ(os.environ)))
