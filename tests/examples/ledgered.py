"""Agents whose steps note in the ledger that they were at work, with no change to the agents."""

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import fields, replace
from inspect import iscoroutinefunction
from typing import Any

from app.agents import Agent
from app.task import Task
from durable_stream import Event
from tests.examples.ledger import note_effect


class LedgeredTask(Task[Any]):
    """A task that notes each step whose function runs."""

    __slots__ = ()

    def step(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        key: str = "",
        once: bool = False,
    ) -> Coroutine[Any, Any, Any]:
        return super().step(name, self._noting(function), *args, key=key, once=once)

    def _noting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def noted(*args: Any) -> Any:
            note_effect(self)
            return function(*args)

        @functools.wraps(function)
        async def noted_async(*args: Any) -> Any:
            note_effect(self)
            return await function(*args)

        return noted_async if iscoroutinefunction(function) else noted


def ledgered(agent: Agent[Any]) -> Agent[Any]:
    """The same agent, with a task that notes its steps."""

    async def function(task: Task[Any]) -> AsyncGenerator[Event]:
        values = {each.name: getattr(task, each.name) for each in fields(task)}
        async with aclosing(agent.function(LedgeredTask(**values))) as events:
            async for event in events:
                yield event

    return replace(agent, function=functools.wraps(agent.function)(function))
