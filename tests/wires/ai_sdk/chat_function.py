"""The function of the flows with the wire, and with agents whose answers have everything."""

import asyncio
import os
from collections.abc import AsyncGenerator

import function  # type: ignore[import-not-found]  # it lies beside this file where the flows run

from app import models, parts
from app.agents import agent
from app.application import create_app
from app.events import Answer, Data, Progress, Source, Thinking, ToolCall, ToolResult
from app.task import Task
from durable_stream import Event, ProducerFailed
from lambda_stream import Adapter

PARTS = (
    Thinking("I think, "),
    Thinking("therefore I call. "),
    Answer("Naïve 🚀 "),
    ToolCall("1", "weather", {"place": "Paris"}),
    Progress("Indexing", 3, 10),
    ToolResult("1", {"degrees": 21, "__proto__": None}),
    ToolCall("2", "stocks", {}),
    ToolResult("2", error="The exchange is closed."),
    Progress("Indexing", 10, 10),
    ToolCall("3", "slow", {"seconds": 60}),
    Data("Words", 1200),
    Data("Place", {"name": "Paris"}, "1"),
    Data("Place", {"name": "Rome"}, "1"),
    Source("A map", "https://example.com/map"),
    Answer("and 日本"),
    Answer("語."),
)
PACE = float(os.environ.get("PACE", "0"))


@agent(resume="continue")
async def chat(task: Task) -> AsyncGenerator[Event]:
    """Answer with the model."""
    async for event in models.answer(task):
        yield event


@agent(resume="restart")
async def every_part(task: Task) -> AsyncGenerator[Event]:
    """Yield parts of all kinds, a little apart."""
    for part in PARTS:
        await asyncio.sleep(PACE)
        yield part
    yield Answer(f" {task.attempt}")


@agent(resume="continue")
async def breaking(task: Task) -> AsyncGenerator[Event]:
    """Fail behind the prompt."""
    prompt = task.input.messages[-1].content
    if prompt != "nothing":
        yield Answer(prompt)
    raise ProducerFailed("broken", "The model is broken: ask another one.", retryable=False)


handler = Adapter(
    create_app(
        function.settings,
        function.provider,
        agents=[chat, every_part, breaking],
        gate=parts.gate(os.environ),
        hooks=parts.hooks(os.environ),
        wires=parts.WIRES,
    )
)
