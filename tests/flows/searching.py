"""The function of the flows with an agent that yields events of its own.

It searches before each piece of the answer, and ends with a verdict instead of `done`.
"""

from collections.abc import AsyncGenerator

import function  # type: ignore[import-not-found]  # it lies beside this file where the flows run

from app.agent import chat
from app.agents import agent
from app.application import create_app
from app.events import EVENTS, Answer, Done
from app.task import Task
from durable_stream import Event, Registry
from lambda_stream import Adapter


class Search(Event):
    """The agent has searched."""

    kind = "search"
    query: str


class Verdict(Event):
    """The answer is complete."""

    kind = "verdict"
    terminal = True


@agent(resume="continue")
async def searching(task: Task) -> AsyncGenerator[Event]:
    """Search for each piece of the answer twice, then give the piece."""
    async for event in chat(task):
        if isinstance(event, Answer):
            yield Search(event.text)
            yield Search(event.text)
        yield Verdict() if isinstance(event, Done) else event


handler = Adapter(
    create_app(
        function.settings,
        function.provider,
        agents=[searching],
        events=Registry((*EVENTS, Search, Verdict)),
    )
)
