"""An agent without a model: a long job that reports its progress, and repeats no finished part.

Each part is a step: its result is in the log before the next part begins, so another process goes
on with the first part that is missing.
"""

import time
from collections.abc import AsyncGenerator

from pydantic import BaseModel, Field

from app.agents import agent
from app.events import Answer, Data, Progress
from app.task import Task
from durable_stream import Event


class Job(BaseModel):
    """The job: how many files to index, and how long each takes."""

    prompt: str = Field("", description="A title for the report.", max_length=200)
    files: int = Field(10, ge=1, le=200)
    seconds: float = Field(0.3, ge=0, le=30, description="For each file.")


class Indexed(BaseModel):
    """One finished part."""

    file: str
    words: int


def index(number: int, seconds: float) -> Indexed:
    """Index one file. It blocks, and so runs in a thread."""
    time.sleep(seconds)
    return Indexed(file=f"{number}.txt", words=number * 100)


@agent(input=Job, resume="replay")
async def job(task: Task[Job]) -> AsyncGenerator[Event]:
    """Index files, one step after another."""
    words = 0
    for number in range(1, task.input.files + 1):
        indexed = await task.step("index", index, number, task.input.seconds)
        words += indexed.words
        yield Progress("Indexing", number, task.input.files)
    yield Data("Words", words)
    yield Answer(f"{task.input.prompt or 'Report'}: {task.input.files} files, {words} words.")


AGENTS = (job,)
