"""The engine's producer: runs the agents."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import durable_stream
from app.agents import Agent, Agents
from app.events import Done, Start
from app.models.base import Partial, Provider, Request
from app.task import Task
from durable_stream import Event, ProducerFailed, Resume, Steps


class AgentProducer:
    """Runs the agent that a stream's start names, with one model at hand."""

    def __init__(self, agents: Agents, model: Provider) -> None:
        self._agents = agents
        self._model = model

    def resume(self, start: durable_stream.Start) -> Resume:
        """As the agent declares it; an agent that is not here any more says so when it runs."""
        agent = self._agent_of(start)
        return agent.resume_of(Start.of(start)) if agent is not None else "continue"

    def continued(self, task: durable_stream.Task) -> str:
        """How the attempt continues.

        `restarted`, `replayed`, `continued`, or how the model continues its text.
        """
        resume = self.resume(task.start)
        if resume == "replay":
            return "replayed"
        if resume != "continue" or not task.said:
            return "restarted"
        agent = self._agent_of(task.start)
        if agent is None or agent.input is not None:
            return "continued"
        if not Partial.of(task.said).answer:
            return "restarted"
        return self._model.continuation(Request.decode(task.start.input))

    async def events(self, task: durable_stream.Task, steps: Steps) -> AsyncGenerator[Event]:
        """The agent's events; `done` where the agent returns without a terminal one."""
        agent = self._agent_of(task.start)
        if agent is None:
            raise ProducerFailed(
                "unknown_agent",
                "The agent of this stream is not served any more: create a new stream.",
                retryable=False,
                free=True,
            )
        work: Task[Any] = Task(
            stream_id=task.stream_id,
            attempt=task.attempt,
            input=agent.decoded(Start.of(task.start)),
            said=task.said,
            resume=self.resume(task.start),
            deadline=task.deadline,
            model=self._model,
            steps=steps,
            tokens=task.hint if isinstance(task.hint, int) else None,
        )
        async with work.scope, aclosing(agent(work)) as events:
            async for event in events:
                yield event
                if event.terminal:
                    return
        yield Done("stop")

    def _agent_of(self, start: durable_stream.Start) -> Agent[Any] | None:
        return self._agents.of(Start.of(start))
