"""An agent made with Strands. It says nothing about resuming, and so it starts over.

`make run PYTHON=.venv-examples/bin/python ARGS="--agent examples.strands_agent"` serves it
(`make examples` installs the framework).

Any framework that streams can be put behind the log like this. Its run is lost with the process,
so another process runs it again, and readers drop the beginning that they have. Tools run again,
too, but for one that is a step: `book` here.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import strands
from strands.models.model import Model
from strands.types.content import Message, Messages
from strands.types.streaming import StreamEvent

from app.agents import agent
from app.events import Answer, Thinking, ToolCall, ToolResult
from app.task import Task
from durable_stream import Event


@strands.tool
async def weather(city: str) -> str:
    """Look up the weather in a city."""
    await asyncio.sleep(0.1)
    return {"Paris": "14 degrees", "Rome": "23 degrees"}.get(city, "no news")


@agent(most_tokens=200_000)
async def travel(task: Task) -> AsyncGenerator[Event]:
    """Plan a trip, with a model and tools of Strands."""

    async def agency(city: str) -> str:
        await asyncio.sleep(0.1)  # A real agency gets task.step_key, to book once.
        return f"a trip to {city}"

    @strands.tool
    async def book(city: str) -> str:
        """Book a trip to a city."""
        return await task.step("book", agency, city)

    # A real model: strands.models.BedrockModel, with its name.
    traveller = strands.Agent(
        Scripted(),
        messages=_history(task),
        tools=[weather, book],
        system_prompt=task.input.system,
        callback_handler=None,
    )
    async for event in traveller.stream_async():
        if text := event.get("data"):
            yield Answer(text)
        elif text := event.get("reasoningText"):
            yield Thinking(text)
        elif message := event.get("message"):
            for told in _tools(message):
                yield told


def _history(task: Task) -> Messages:
    """The conversation as Strands has it."""
    return [
        {
            "role": "user" if each.role == "user" else "assistant",
            "content": [{"text": each.content}],
        }
        for each in task.input.messages
    ]


def _tools(message: Message) -> Iterator[Event]:
    """The calls and the results in a message, which is shaped as Bedrock's."""
    for block in message["content"]:
        if call := block.get("toolUse"):
            yield ToolCall(call["toolUseId"], call["name"], call["input"])
        elif result := block.get("toolResult"):
            output = [each.get("json", each.get("text")) for each in result["content"]]
            error = str(output) if result["status"] == "error" else None
            yield ToolResult(result["toolUseId"], output[0] if len(output) == 1 else output, error)


# The turns of the model that is played, by the number of results it has: its text, and its calls.
_TURNS: dict[int, tuple[str, list[tuple[str, str]]]] = {
    0: ("I compare Paris and Rome. ", [("weather", "Paris"), ("weather", "Rome")]),
    2: ("Rome is warmer, so I book Rome. ", [("book", "Rome")]),
    3: ("Have a good trip!", []),
}


class Scripted(Model):
    """Plays a model, so that the example runs without a key."""

    async def stream(self, messages: Messages, *_: Any, **__: Any) -> AsyncGenerator[StreamEvent]:
        """One turn, in the events of Bedrock's ConverseStream."""
        told = [each for message in messages for each in _tools(message)]
        text, calls = _TURNS[sum(isinstance(each, ToolResult) for each in told)]
        yield {"messageStart": {"role": "assistant"}}
        for word in re.findall(r"\S+ ?", text):
            await asyncio.sleep(0.03)
            yield {"contentBlockDelta": {"delta": {"text": word}}}
        yield {"contentBlockStop": {}}
        for number, (name, city) in enumerate(calls, start=len(messages)):
            call_id, arguments = f"call-{number}", json.dumps({"city": city})
            yield {
                "contentBlockStart": {"start": {"toolUse": {"toolUseId": call_id, "name": name}}}
            }
            yield {"contentBlockDelta": {"delta": {"toolUse": {"input": arguments}}}}
            yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "tool_use" if calls else "end_turn"}}

    def structured_output(self, *_: Any, **__: Any) -> AsyncGenerator[dict[str, Any]]:
        """Refuse: the agent does not ask for it."""
        raise NotImplementedError

    def update_config(self, **_: Any) -> None:
        """Nothing: there is nothing to configure."""

    def get_config(self) -> dict[str, Any]:
        """Nothing."""
        return {}


AGENTS = (travel,)
