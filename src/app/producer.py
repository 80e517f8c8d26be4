"""The engine's producer: runs the agent."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import durable_stream
from app.events import Done
from app.models.base import Partial, Provider, Request
from app.task import Agent, Task
from durable_stream import Event, Start


class AgentProducer:
    """Runs one agent for every stream, with one model at hand."""

    def __init__(self, agent: Agent, model: Provider) -> None:
        self._agent = agent
        self._model = model

    def continued(self, task: durable_stream.Task) -> str:
        """How the model continues the answer; `restarted` where none of it was delivered."""
        if not Partial.of(task.said).answer:
            return "restarted"
        return self._model.continuation(request_of(task.start))

    async def events(self, task: durable_stream.Task) -> AsyncGenerator[Event]:
        """The agent's events; `done` where the agent returns without a terminal one."""
        work = Task(
            stream_id=task.stream_id,
            attempt=task.attempt,
            input=request_of(task.start),
            said=Partial.of(task.said, task.hint if isinstance(task.hint, int) else None),
            model=self._model,
        )
        async with work.scope, aclosing(self._agent(work)) as events:
            async for event in events:
                yield event
                if event.terminal:
                    return
        yield Done("stop")


def request_of(start: Start) -> Request:
    """The request that a stream was created with."""
    return Request.decode(start.input)
