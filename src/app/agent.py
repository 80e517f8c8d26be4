"""Your agents. Their events are logged before they are sent, and survive the process."""

from collections.abc import AsyncGenerator

from app import models
from app.agents import agent
from app.task import Task
from durable_stream import Event


@agent(resume="continue")
async def chat(task: Task) -> AsyncGenerator[Event]:
    """Answer with the configured model."""
    async for event in models.answer(task):
        yield event


# The first one answers where a request names none.
AGENTS = (chat,)
