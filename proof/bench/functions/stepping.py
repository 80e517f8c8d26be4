"""An agent of steps, which says one word in the end."""

import os
from collections.abc import AsyncGenerator

from app import models
from app.agents import agent
from app.application import create_app
from app.events import Answer
from app.settings import Settings
from app.task import Task
from durable_stream import Event
from lambda_stream import Adapter

STEPS = 20


@agent(resume="replay")
async def steps(task: Task) -> AsyncGenerator[Event]:
    """Come to a number of steps, and then say it."""
    for number in range(STEPS):
        await task.step("step", str, number)
    yield Answer(str(STEPS))


settings = Settings.from_environ(os.environ)
app = create_app(settings, models.create(settings.provider, os.environ), agents=[steps])
handler = Adapter(app)
