"""The function of the flows with an agent that starts over where it is interrupted."""

from collections.abc import AsyncGenerator

import function  # type: ignore[import-not-found]  # it lies beside this file where the flows run

from app import models
from app.application import create_app
from app.events import Answer, Progress
from app.task import Task
from durable_stream import Event
from lambda_stream import Adapter


async def recite(task: Task) -> AsyncGenerator[Event]:
    """Say which attempt this is, then answer with the model."""
    yield Progress("Attempts", task.attempt)
    yield Answer(f"{task.attempt}: ")
    async for event in models.answer(task):
        yield event


handler = Adapter(create_app(function.settings, function.provider, agents=[recite]))
