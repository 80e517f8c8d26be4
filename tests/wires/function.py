"""The function that the wires' clients are run against: that of the flows, with the wires.

A wire adds its own agents, and names the handler.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from app import models, parts
from app.agents import Agent, agent
from app.application import create_app
from app.events import EVENTS, Answer
from app.task import Task
from durable_stream import Event, ProducerFailed, Registry
from lambda_stream import Adapter
from tests.flows import function

PACE = float(os.environ.get("PACE", "0"))


@agent(resume="continue")
async def chat(task: Task) -> AsyncGenerator[Event]:
    """Answer with the model."""
    async for event in models.answer(task):
        yield event


@agent(resume="continue")
async def breaking(task: Task) -> AsyncGenerator[Event]:
    """Fail behind the prompt."""
    prompt = task.input.messages[-1].content
    if prompt != "nothing":
        yield Answer(prompt)
    raise ProducerFailed("broken", "The model is broken: ask another one.", retryable=False)


def yielding(*events: Event) -> Agent[Any]:
    """The agent `every_part`: it yields these events, `PACE` seconds apart, and its attempt."""

    @agent(resume="restart")
    async def every_part(task: Task) -> AsyncGenerator[Event]:
        """Yield parts of all kinds, a little apart."""
        for event in events:
            await asyncio.sleep(PACE)
            yield event
        yield Answer(f" {task.attempt}")

    return every_part


def handler_of(*agents: Agent[Any], kinds: Iterable[type[Event]] = ()) -> Adapter:
    """The handler of an application with these agents, which may yield events of more `kinds`."""
    return Adapter(
        create_app(
            function.settings,
            function.provider,
            agents=agents,
            gate=parts.gate(os.environ),
            hooks=parts.hooks(os.environ),
            wires=parts.WIRES,
            events=Registry([*EVENTS, *kinds]),
        )
    )
