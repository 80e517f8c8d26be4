"""Your agent. Its events are logged before they are sent, and survive the process."""

from collections.abc import AsyncGenerator

from app import models
from app.task import Task
from durable_stream import Event


async def agent(task: Task) -> AsyncGenerator[Event]:
    """Answer with the configured model. Replace the body to yield events of your own.

    `task.said` holds the text that earlier attempts have delivered: yield only the
    events that follow it. A generator that returns has finished; one that raises `ProducerFailed`
    may be tried again.
    """
    async for event in models.answer(task):
        yield event
