"""The function of the flows with the wire, and with agents whose answers have everything."""

import asyncio
import os
from collections.abc import AsyncGenerator

import function  # type: ignore[import-not-found]  # it lies beside this file where the flows run

from app import models, parts
from app.agents import agent
from app.application import create_app
from app.events import EVENTS, Answer, Data, Progress, Source, Thinking, ToolCall, ToolResult
from app.task import Task
from durable_stream import Event, ProducerFailed, Registry
from lambda_stream import Adapter


class Note(Event):
    """An event that the wire does not know."""

    kind = "note"
    title: str


PARTS = (
    Thinking("I think, "),
    Thinking("therefore I call."),
    Answer("Naïve \ud83d"),
    Answer("\ude80 "),
    ToolCall("1", "weather", {"place": "Zürich"}),
    ToolCall("2", "stocks", {}),
    Progress("Indexing", 3, 10),
    Answer("and mean"),
    Note("First"),
    ToolResult("2", error="The exchange is closed."),
    Answer("while "),
    Progress("Indexing", 10, 10),
    ToolResult("1", {"degrees": 21}),
    ToolCall("3", "slow", {"seconds": 60}),
    Data("Words", 1200),
    Data("Place", {"name": "Paris"}, "a/1"),
    Data("Place", {"name": "Rome"}, "a/1"),
    Note("Second"),
    Source("A map", "https://example.com/map"),
    Thinking("Yes."),
    Answer("日本"),
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
        events=Registry([*EVENTS, Note]),
    )
)
