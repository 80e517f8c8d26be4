"""The function with agents that do as they are told."""

import asyncio
from collections.abc import AsyncGenerator

from app.agents import agent
from app.events import Answer, Data, Source, Thinking, ToolCall, ToolResult
from app.task import Task
from durable_stream import Event, ProducerFailed
from tests.wires.function import chat, handler_of


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


handler = handler_of(chat, clerk, failing, forgetful)
