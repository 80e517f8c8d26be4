"""What the sandboxes run: the application as it is shipped, watched and with its own clock.

Three things are added around it, none within: the clock is wrong by `LOCAL_CLOCK_OFFSET` seconds,
calls to DynamoDB name the process (in their User-Agent), and the demo provider reports to
`GENERATIONS` (host:port) for as long as it generates.
"""

import asyncio
import os
import time

_offset = float(os.environ.get("LOCAL_CLOCK_OFFSET", "0"))
_true_time = time.time
time.time = lambda: _true_time() + _offset
os.environ["AWS_SDK_UA_APP_ID"] = f"pid-{os.getpid()}"

from collections.abc import AsyncGenerator  # noqa: E402 - behind the clock
from contextlib import aclosing  # noqa: E402

from app.access.gate import from_environ  # noqa: E402
from app.application import create_app  # noqa: E402
from app.providers.base import Continuation, Delta, Partial, Request  # noqa: E402
from app.providers.demo import DemoProvider  # noqa: E402
from app.settings import Settings  # noqa: E402
from lambda_stream import Adapter  # noqa: E402


class ReportingProvider:
    """The demo, which holds a connection to the harness open while it generates."""

    models = ("demo",)

    def __init__(self, demo: DemoProvider, host: str, port: int) -> None:
        self._demo = demo
        self._host = host
        self._port = port

    def continuation(self, request: Request) -> Continuation:
        return self._demo.continuation(request)

    async def close(self) -> None:
        await self._demo.close()

    async def stream(self, request: Request, continue_from: Partial) -> AsyncGenerator[Delta]:
        _, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(f"{os.getpid()} {request.messages[-1].content}\n".encode())
            async with aclosing(self._demo.stream(request, continue_from)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            writer.close()


host, _, port = os.environ["GENERATIONS"].partition(":")
provider = ReportingProvider(DemoProvider.from_environ(os.environ), host, int(port))
handler = Adapter(create_app(Settings.from_environ(os.environ), provider, from_environ(os.environ)))
