"""An agent with a tool that leaves a mark in the world: a line in the file `NOTES`."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path

from app import models
from app.agents import agent
from app.task import Task
from durable_stream import Event


@agent(resume="replay")
async def noting(task: Task) -> AsyncGenerator[Event]:
    """Answer, and take notes."""

    async def note(word: str) -> str:
        """Take a note of a word."""
        with Path(os.environ["NOTES"]).open("a") as notes:  # noqa: ASYNC230 - it is short
            notes.write(f"{task.step_key} {word}\n")
        return f"noted {word}"

    async for event in models.answer(task, [note]):
        yield event


AGENTS = (noting,)
