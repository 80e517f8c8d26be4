"""Agents of Pydantic AI that are hard to replay: sub-agents at once, and a fickle model."""

import asyncio
import secrets
from collections.abc import AsyncGenerator

from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError, ToolFailed
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

from app.agents import agent
from app.events import Done
from app.task import Task
from durable_stream import Event
from examples.pydantic_ai_agent import LogDurability, durable, tell


def _returned(messages: list[ModelMessage]) -> list[str]:
    parts = [part for message in messages for part in message.parts]
    return [str(part.content) for part in parts if isinstance(part, ToolReturnPart)]


# Two sub-agents at once, each with two model requests and a tool of one name and one id.


async def _expert(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    """Look up the topic, and say what was found."""
    await asyncio.sleep(0.05)
    if found := _returned(messages):
        return ModelResponse(parts=[TextPart(f"expert of {found[0]}")])
    topic = next(
        part.content
        for message in messages
        for part in message.parts
        if isinstance(part, UserPromptPart)
    )
    return ModelResponse(parts=[ToolCallPart("look", {"topic": str(topic)}, tool_call_id="0")])


expert = Agent(FunctionModel(_expert), name="expert", capabilities=[LogDurability()])


@expert.tool_plain
async def look(topic: str) -> str:
    """Look a topic up."""
    await asyncio.sleep(0.1 if topic == "moon" else 0.05)
    return topic


async def _chair(
    messages: list[ModelMessage], _info: AgentInfo
) -> AsyncGenerator[str | DeltaToolCalls]:
    await asyncio.sleep(0.05)
    match _returned(messages):
        case []:
            yield "I ask two experts. "
            for number, topic in enumerate(("moon", "sun")):
                yield {number: DeltaToolCall("ask", f'{{"topic": "{topic}"}}')}
        case [_, _] as found:
            yield f"One is an {found[0]}, the other an {found[1]}. "
            yield {0: DeltaToolCall("ask", '{"topic": "moon"}', tool_call_id="0")}
        case found:
            yield f"Again an {found[-1]}."


chair = Agent(
    FunctionModel(stream_function=_chair),
    name="chair",
    capabilities=[LogDurability(event_stream_handler=tell)],
)


@chair.tool_plain
async def ask(topic: str) -> str:
    """Ask an expert."""
    return (await expert.run(topic)).output


@agent(resume="replay")
async def team(task: Task) -> AsyncGenerator[Event]:
    """Ask two experts at once, and one of them again."""
    with durable(task):
        await chair.run(task.input.messages[-1].content)
    yield Done("stop")


# A model that never says the same twice.


async def _fickle(
    messages: list[ModelMessage], _info: AgentInfo
) -> AsyncGenerator[str | DeltaToolCalls]:
    noted = _returned(messages)
    if len(noted) == 2:
        yield f"Noted {noted[0]} and {noted[1]}."
        return
    word = secrets.token_hex(4)
    for piece in ("I ", "note ", word, "; "):
        await asyncio.sleep(0.1)
        yield piece
    yield {0: DeltaToolCall("note", f'{{"word": "{word}"}}')}


fickle_agent = Agent(
    FunctionModel(stream_function=_fickle),
    name="fickle",
    capabilities=[LogDurability(event_stream_handler=tell)],
)


@fickle_agent.tool_plain
async def note(word: str) -> str:
    """Note a word."""
    await asyncio.sleep(0.1)
    return word


@agent(resume="replay")
async def fickle(task: Task) -> AsyncGenerator[Event]:
    """Note two words, which are others each time the model is asked."""
    with durable(task):
        await fickle_agent.run(task.input.messages[-1].content)
    yield Done("stop")


# A model whose service fails in the middle of the first attempt, and a tool that fails.


async def _flaky(
    messages: list[ModelMessage], _info: AgentInfo
) -> AsyncGenerator[str | DeltaToolCalls]:
    if returned := _returned(messages):
        yield f"The tool is {returned[0]}."
        return
    yield "I am "
    if flaky_attempts[-1] == 1:
        raise ModelHTTPError(503, "flaky")
    yield "back. "
    yield {0: DeltaToolCall("break_down", "{}")}


flaky_attempts: list[int] = []
flaky_agent = Agent(
    FunctionModel(stream_function=_flaky),
    name="flaky",
    capabilities=[LogDurability(event_stream_handler=tell)],
)


@flaky_agent.tool_plain
async def break_down() -> str:
    """Fail."""
    raise ToolFailed("broken")


@agent(resume="replay")
async def flaky(task: Task) -> AsyncGenerator[Event]:
    """Come back where the model's service has failed, and tell of a tool that fails."""
    flaky_attempts.append(task.attempt)
    with durable(task):
        await flaky_agent.run(task.input.messages[-1].content)
    yield Done("stop")


AGENTS = (team, fickle, flaky)
