"""The function that the sandboxes run: the application as it is shipped, watched, on its own clock.

Four things are added around it, none within: the sandbox prints its process id, its clock is
wrong by `LOCAL_CLOCK_OFFSET` seconds, calls to DynamoDB name the process (in their User-Agent), and
the agent reports to `GENERATIONS` (host:port) for as long as it works.
"""

import asyncio
import math
import os
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from app import parts
from app.agent import chat
from app.agents import agent
from app.application import create_app
from app.models.demo import DemoProvider
from app.settings import Settings
from app.task import Task
from durable_stream import Clock, Event
from durable_stream.exceptions import shortened
from lambda_stream import Adapter

# Delays of a busy machine up to so many seconds are made up for; time lost to a freeze is not.
_CATCHES_UP = 0.5


class ReportingAgent:
    """The agent as it is shipped, which holds a connection to the harness open while it works.

    After a standstill it continues at its pace, as a model does. The demo by itself would catch up
    at once, and be over before it can be seen to continue.
    """

    def __init__(self, tokens_per_second: float, host: str, port: int) -> None:
        self._interval = 1 / tokens_per_second
        self._host = host
        self._port = port

    async def __call__(self, task: Task) -> AsyncGenerator[Event]:
        """Report, and pass each of the agent's events on at its time."""
        _, writer = await asyncio.open_connection(self._host, self._port)
        try:
            stream, prompt = shortened(task.stream_id), task.input.messages[-1].content
            writer.write(f"{os.getpid()} {stream} {prompt}\n".encode())
            async with aclosing(chat(task)) as events:
                async for event in self._paced(events):
                    yield event
        finally:
            writer.close()

    async def _paced(self, events: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
        """Each event at its time; one that is late by more than a moment stays late."""
        clock = asyncio.get_running_loop().time
        due: float | None = None
        async for event in events:
            at_least = clock() - _CATCHES_UP
            due = clock() if due is None else max(due + self._interval, at_least)
            await asyncio.sleep(max(0, due - clock()))
            yield event


os.environ["AWS_SDK_UA_APP_ID"] = f"pid-{os.getpid()}"
print(f"process {os.getpid()}", flush=True)  # chaos.sandbox_log reads it
host, _, port = os.environ["GENERATIONS"].partition(":")
offset = float(os.environ.get("LOCAL_CLOCK_OFFSET", "0"))
demo = DemoProvider.from_environ(os.environ)
reporting = ReportingAgent(demo.tokens_per_second, host, int(port))
app = create_app(
    Settings.from_environ(os.environ),
    replace(demo, tokens_per_second=math.inf),
    gate=parts.gate(os.environ),
    hooks=parts.hooks(os.environ),
    agents=[agent(resume="continue", name="chat")(reporting)],
    clock=Clock(lambda: time.time() + offset),
)
handler = Adapter(app)
