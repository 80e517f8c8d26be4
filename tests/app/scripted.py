"""A provider that answers as a test tells it to, when the test lets it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from app import models
from app.agents import Agents, agent
from app.events import Start
from app.models.base import Continuation, Message, Partial, Provider, Request
from app.producer import AgentProducer
from app.task import Task
from durable_stream import Event

REQUEST = Request(messages=(Message("user", "hello"),), model="scripted", max_tokens=100)

START = Start(input=REQUEST.encode(), model=REQUEST.model)

Step = Event | asyncio.Event | Exception


@dataclass
class ScriptedProvider:
    """Goes through the steps of each attempt: says a delta, waits for an event, or raises.

    `pace` is the seconds before each step.
    """

    attempts: Sequence[Sequence[Step]]
    models: tuple[str, ...] = ("scripted",)
    asked_to_continue: list[Partial] = field(default_factory=list)
    running: int = 0
    pace: float = 0
    breaks_when_closed: bool = False

    def continuation(self, _request: Request) -> Continuation:
        return "prefill"

    async def preload(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def stream(self, request: Request, delivered: Partial) -> AsyncGenerator[Event]:
        assert request == REQUEST
        steps = self.attempts[len(self.asked_to_continue)]
        self.asked_to_continue.append(delivered)
        self.running += 1
        try:
            for step in steps:
                await asyncio.sleep(self.pace)
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield step
        finally:
            self.running -= 1
            if self.breaks_when_closed:
                raise RuntimeError("broken while closing")


@agent(resume="continue")
async def answering(task: Task) -> AsyncGenerator[Event]:
    """The agent of the tests: one that a cloner's own agent does not replace."""
    async for event in models.answer(task):
        yield event


def answers_of(model: Provider) -> AgentProducer:
    """The producer that runs this agent."""
    return AgentProducer(Agents([answering]), model)
