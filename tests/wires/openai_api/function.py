"""The function of these flows: the application with its wires, and agents that do as they are told.

It is quicker to give a writer up than the one that is deployed.
"""

import asyncio
import dataclasses
import os
from collections.abc import AsyncGenerator

from app import models, parts
from app.agents import agent
from app.application import create_app
from app.events import Answer, Data, Source, Thinking, ToolCall, ToolResult
from app.models.demo import DemoProvider
from app.settings import Settings
from app.task import Task
from durable_stream import Event, ProducerFailed
from lambda_stream import Adapter


@agent(resume="continue")
async def chat(task: Task) -> AsyncGenerator[Event]:
    """Answer with the model."""
    async for event in models.answer(task):
        yield event


@agent(resume="continue")
async def clerk(_: Task) -> AsyncGenerator[Event]:
    """Use tools, and say what a response has no form for."""
    yield Thinking("I look.")
    yield Answer("Let me see. ")
    yield ToolCall("1", "look", {"at": "naïve 🚀"})
    yield ToolCall("2", "fail", {})
    yield ToolResult("2", error="no such thing")
    yield ToolResult("1", {"seen": 1})
    yield Data("weather", {"degrees": 20})
    yield Answer("It is ")
    yield Source("A page", "https://example.com/")
    yield Answer("there.")


@agent(resume="continue")
async def failing(task: Task) -> AsyncGenerator[Event]:
    """Fail, behind some text where the prompt says so."""
    if task.input.messages[-1].content == "after":
        yield Answer("Some text")
    raise ProducerFailed("broken", "It broke.", retryable=False)


@agent(resume="restart")
async def forgetful(task: Task) -> AsyncGenerator[Event]:
    """Say something else in each attempt, and never end the first one."""
    yield Answer(f"Attempt {task.attempt}. ")
    await asyncio.sleep(0.3)
    yield ToolCall("1", "look", {})
    yield ToolResult("1", task.attempt)
    yield Answer("Half-way. ")
    if task.attempt == 1:
        await asyncio.sleep(60)
    yield Answer("The end.")


lease = float(os.environ.get("LEASE", "1.2"))
settings = Settings.from_environ(os.environ)
settings = dataclasses.replace(
    settings, timing=dataclasses.replace(settings.timing, lease=lease, heartbeat=lease / 4)
)
handler = Adapter(
    create_app(
        settings,
        DemoProvider.from_environ(os.environ),
        agents=(chat, clerk, failing, forgetful),
        gate=parts.gate(os.environ),
        hooks=parts.hooks(os.environ),
        wires=parts.WIRES,
    )
)
