"""The function that the sandboxes run: the application as it is shipped, watched, on its own clock.

Four things are added around it, none within: the sandbox prints its process id, its clock is
wrong by `LOCAL_CLOCK_OFFSET` seconds, calls to DynamoDB name the process (in their User-Agent), and
the agent reports to `GENERATIONS` (host:port) for as long as it works. Beside the agent that is
shipped it serves one with steps.
"""

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
from lambda_stream import Adapter
from proof.chaos.stepping import STEPPING, Pace, Reports, SteppingAgent


class ReportingAgent:
    """The agent as it is shipped, which holds a connection to the harness open while it works.

    After a standstill it continues at its pace, as a model does. The demo by itself would catch up
    at once, and be over before it can be seen to continue.
    """

    def __init__(self, tokens_per_second: float, reports: Reports) -> None:
        self._tokens_per_second = tokens_per_second
        self._reports = reports

    async def __call__(self, task: Task) -> AsyncGenerator[Event]:
        """Report, and pass each of the agent's events on at its time."""
        pace = Pace(self._tokens_per_second)
        with self._reports.of(task):
            async with aclosing(chat(task)) as events:
                async for event in events:
                    await pace.keep()
                    yield event


os.environ["AWS_SDK_UA_APP_ID"] = f"pid-{os.getpid()}"
print(f"process {os.getpid()}", flush=True)  # chaos.sandbox_log reads it
host, _, port = os.environ["GENERATIONS"].partition(":")
offset = float(os.environ.get("LOCAL_CLOCK_OFFSET", "0"))
demo = DemoProvider.from_environ(os.environ)
reports = Reports(host, int(port))
reporting = ReportingAgent(demo.tokens_per_second, reports)
app = create_app(
    Settings.from_environ(os.environ),
    replace(demo, tokens_per_second=math.inf),
    gate=parts.gate(os.environ),
    hooks=parts.hooks(os.environ),
    agents=[
        agent(resume="continue", name="chat")(reporting),
        agent(resume="replay", name=STEPPING)(SteppingAgent(demo, reports)),
    ],
    clock=Clock(lambda: time.time() + offset),
)
handler = Adapter(app)
