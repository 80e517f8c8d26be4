"""An agent made with Pydantic AI, whose model requests and tool calls are steps of this log.

`make run PYTHON=.venv-examples/bin/python ARGS="--agent examples.pydantic_ai_agent"` serves it
(`make examples` installs the framework).

Pydantic AI hands each unit of a run to `LogDurability`, which makes a step of it: recorded once,
and read from the log in every later attempt. A unit tells the reader from inside its step: a model
request its text as it is generated, a tool its call and its result. So what is recorded is never
told twice, and the order in which tools end at once does not matter.

A unit that was interrupted runs again: the model is asked again. If it says the same as before,
readers notice nothing; if not, they drop this request's text, and read the new one. A tool runs at
least once, so one with a side effect gives the world its `step_key`, to be recognized by. An
exception of a tool ends the answer; raise Pydantic AI's `ToolFailed` to let the model know instead.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pydantic_ai import Agent, RunContext
from pydantic_ai.durable_exec import (
    JSON_CODEC,
    BaseDurabilityCapability,
    DurabilityEngineSpec,
    DurableOperationId,
    EventStreamHandlerId,
    JournalCallableOperationBackend,
    RoleBasedOperationConfig,
    ToolsetCallToolId,
)
from pydantic_ai.exceptions import ModelAPIError, ModelRequestRejectedError
from pydantic_ai.messages import (
    AgentStreamEvent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel
from pydantic_ai.toolsets import ToolsetTool
from pydantic_core import to_jsonable_python

from app.agents import agent
from app.events import Answer, Done, Thinking, ToolCall, ToolResult
from app.models.base import Message
from app.models.failures import failure
from app.task import Task
from durable_stream import Event

# Durability: this half is the same for every agent.

# The task at work. A process has one agent object for all streams, which cannot hold it.
_TASK: ContextVar[Task[Any] | None] = ContextVar("task", default=None)


@contextmanager
def durable(task: Task[Any]) -> Iterator[None]:
    """Let the runs of agents in the block be parts of this task."""
    token = _TASK.set(task)
    try:
        yield
    finally:
        _TASK.reset(token)


def _task() -> Task[Any]:
    task = _TASK.get()
    assert task is not None, "an agent with LogDurability runs in a block of `durable`"
    return task


class LogBackend(JournalCallableOperationBackend[None]):
    """Runs the units of Pydantic AI as steps."""

    async def execute(
        self,
        *,
        operation_id: DurableOperationId,
        name: str,
        body: Callable[[], Awaitable[object]],
        cache_key: tuple[object, ...],
        config: None,
    ) -> object:
        """The value of one unit, which is JSON."""
        del config
        if isinstance(operation_id, EventStreamHandlerId):
            # An event outside of the other units. Their steps have told all there is to tell.
            return await body()
        task = _task()
        context = next((each for each in cache_key if isinstance(each, RunContext)), None)
        call_id = context.tool_call_id if context is not None else None
        is_tool = isinstance(operation_id, ToolsetCallToolId)

        async def unit(_name: str, _arguments: object) -> object:
            if not is_tool:
                return await _translated(body())
            # The id of a call is not always unique; the key of its step is.
            tool, arguments = str(cache_key[0]), to_jsonable_python(cache_key[1])
            await task.emit(ToolCall(task.step_key, tool, arguments))
            value = await body()
            await task.emit(_result(task.step_key, value))
            return value

        # The log has a digest of a step's arguments: a unit that asks for something else than it
        # did before an interruption is an error, and never gets a value that is not its own.
        arguments = [each for each in cache_key if not isinstance(each, (RunContext, ToolsetTool))]
        step_name = _step_name(str(cache_key[0]) if is_tool else name.rpartition("__")[2])
        return await task.step(step_name, unit, name, _lasting(arguments), key=call_id or "")


class LogDurability(BaseDurabilityCapability[Any]):
    """Makes an agent durable inside a block of `durable`; elsewhere the agent runs as usual."""

    engine_spec = DurabilityEngineSpec(
        engine_name="log",
        durable_unit_noun="step",
        durable_container_noun="stream",
        codec=JSON_CODEC,
    )

    @property
    def in_durable_context(self) -> bool:
        """True while a task is at work."""
        return _TASK.get() is not None

    def get_durable_operation_backend(self) -> LogBackend:
        """The backend: it makes a step of every unit."""
        config = RoleBasedOperationConfig[None](model=None, event=None, capability=None, tool=None)
        return LogBackend(agent_name=self.name, config=config)


async def tell(_context: RunContext[Any], events: AsyncIterable[AgentStreamEvent]) -> None:
    """Tell the reader a model's text and thinking, from inside the step of its request."""
    async for event in events:
        match event:
            case PartStartEvent(part=TextPart(content=text)):
                await _task().emit(Answer(text))
            case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                await _task().emit(Answer(text))
            case PartStartEvent(part=ThinkingPart(content=text)):
                await _task().emit(Thinking(text))
            case PartDeltaEvent(delta=ThinkingPartDelta(content_delta=str(text))):
                await _task().emit(Thinking(text))
            case _:
                pass


def history(messages: tuple[Message, ...]) -> list[ModelMessage]:
    """A conversation as Pydantic AI has it."""
    return [
        ModelRequest(parts=[UserPromptPart(message.content)])
        if message.role == "user"
        else ModelResponse(parts=[TextPart(message.content)])
        for message in messages
    ]


def _result(call_id: str, value: object) -> ToolResult:
    match value:
        case {"kind": "tool_return" | "tool_content_result", "result": output}:
            return ToolResult(call_id, output)
        case {"kind": kind, **members}:
            return ToolResult(call_id, error=str(members.get("message", kind)))
        case _:
            return ToolResult(call_id, value)


async def _translated(request: Awaitable[object]) -> object:
    """The value of a request, whose failure is not recorded: it is tried again, or ends the run."""
    try:
        return await request
    except ModelRequestRejectedError as error:
        raise failure("provider_rejected") from error
    except ModelAPIError as error:
        raise failure("provider_failed") from error


def _step_name(name: str) -> str:
    """The name in the characters that a step may have."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[-64:]


def _lasting(value: object) -> object:
    """The JSON of a value, without the members that differ between attempts."""
    match to_jsonable_python(value, bytes_mode="base64", fallback=lambda each: type(each).__name__):
        case dict(members):
            return {name: _lasting(each) for name, each in members.items() if name not in _VARYING}
        case list(items):
            return [_lasting(each) for each in items]
        case scalar:
            return scalar


_VARYING = {"timestamp", "run_id", "conversation_id"}


# The agent: this half is yours.


async def _script(
    messages: list[ModelMessage], _info: AgentInfo
) -> AsyncGenerator[str | DeltaToolCalls]:
    """Play a model that looks up the weather in two cities at once, and books the warmer one."""
    parts = [part for message in messages for part in message.parts]
    returned = [str(part.content) for part in parts if isinstance(part, ToolReturnPart)]
    match returned:
        case []:
            text = "I compare the weather in Paris and in Rome. "
            calls = [("weather", '{"city": "Paris"}'), ("weather", '{"city": "Rome"}')]
        case [one, other]:
            text = f"There are {one} in Paris and {other} in Rome, so I book Rome. "
            calls = [("book", '{"city": "Rome"}')]
        case _:
            text, calls = f"Done: {returned[-1]}.", []
    for word in re.findall(r"\S+\s*", text):
        await asyncio.sleep(0.03)
        yield word
    for index, (name, arguments) in enumerate(calls):
        yield {index: DeltaToolCall(name, arguments)}


travel = Agent(
    FunctionModel(stream_function=_script),  # a real one: "anthropic:claude-haiku-4-5"
    name="travel",
    capabilities=[LogDurability(event_stream_handler=tell)],
)


@travel.tool_plain
async def weather(city: str) -> str:
    """Look up the weather in a city."""
    await asyncio.sleep(0.1 if city == "Rome" else 0.2)
    return {"Paris": "14 degrees", "Rome": "23 degrees"}.get(city, "no news")


@travel.tool_plain
def book(city: str) -> str:
    """Book a trip to a city."""
    time.sleep(0.1)  # A tool that is not async runs in a thread.
    # A real one sends the key of its step, so that the agency books once: _task().step_key
    return f"a trip to {city}"


@agent(resume="replay", most_tokens=200_000)
async def assistant(task: Task) -> AsyncGenerator[Event]:
    """Plan a trip, with a model and tools of Pydantic AI."""
    with durable(task):
        result = await travel.run(
            message_history=history(task.input.messages), instructions=task.input.system
        )
    usage = result.usage
    yield Done("stop", usage.input_tokens, usage.output_tokens)


AGENTS = (assistant,)
