"""The smallest agent: an async generator of events.

It says nothing about resuming, so it starts over where it is interrupted, and readers drop the
beginning that they have.
"""

import asyncio
from collections.abc import AsyncGenerator

from app.events import Answer
from app.task import Task
from durable_stream import Event


async def count(task: Task) -> AsyncGenerator[Event]:
    """Count the words of the prompt, aloud."""
    for number, word in enumerate(task.input.messages[-1].content.split(), start=1):
        await asyncio.sleep(0.2)
        yield Answer(f"{number}. {word}\n")


AGENTS = (count,)
