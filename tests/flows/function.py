"""The function that the flows run: the real application, only quicker to give a writer up.

With `GATE=host:port` in its environment, the test is the model: every generation connects there,
says each line it is sent, and finishes at an empty one. A line break in a text is sent as U+2028.
"""

import asyncio
import dataclasses
import os
from collections.abc import AsyncGenerator

from app import parts
from app.application import create_app
from app.events import Answer, Done
from app.models.base import Continuation, Partial, Request
from app.models.demo import DemoProvider
from app.settings import Settings
from durable_stream import Event
from lambda_stream import Adapter

BREAK = "\u2028"


class GatedProvider:
    """Says the text that the test at the gate sends."""

    models = ("gated",)

    def __init__(self, gate: str) -> None:
        self._host, _, port = gate.partition(":")
        self._port = int(port)

    def continuation(self, _request: Request) -> Continuation:
        return "prefill"

    async def preload(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def stream(self, request: Request, delivered: Partial) -> AsyncGenerator[Event]:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            asked = f"{request.messages[-1].content}|{delivered.answer}".replace("\n", BREAK)
            writer.write(f"{asked}\n".encode())
            while line := (await reader.readline()).decode().rstrip("\n"):
                yield Answer(line.replace(BREAK, "\n"))
            yield Done("stop", 0, 0)
        finally:
            writer.close()


lease = float(os.environ.get("LEASE", "2"))
settings = Settings.from_environ(os.environ)
settings = dataclasses.replace(
    settings, timing=dataclasses.replace(settings.timing, lease=lease, heartbeat=lease / 4)
)
gate = os.environ.get("GATE")
provider = GatedProvider(gate) if gate else DemoProvider.from_environ(os.environ)
handler = Adapter(
    create_app(
        settings,
        provider,
        gate=parts.gate(os.environ),
        hooks=parts.hooks(os.environ),
    )
)
