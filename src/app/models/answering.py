"""Answers a task with the configured model, and reports each request's tokens."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from types import AsyncGeneratorType
from typing import TYPE_CHECKING, Any

from app.events import Done
from app.exceptions import ProviderError
from app.models.base import Partial, Request
from app.models.failures import failure
from app.models.lengths import tokens_of
from app.models.looping import Loop
from app.models.tools import Tool, tool
from app.models.turns import ToolUse
from app.models.usage import plausible, plausible_count
from durable_stream import Event

if TYPE_CHECKING:
    from app.task import Task  # It imports this package.


def answer(
    task: "Task[Any]",
    tools: Sequence[Tool | Callable[..., Any]] = (),
    rounds: int = 10,
    *,
    request: Request | None = None,
) -> AsyncGenerator[Event]:
    """The model's answer to a task, after the delivered text; raises ProviderError.

    In an agent that replays, it is the whole answer, and every request to the model is a step.

    The model may call `tools` (typed functions with a docstring), in at most so many `rounds`. Each
    call is a step, and all calls of a round run at once. A tool that raises an exception has
    failed: the model is told, and continues its answer. After the last round it has to answer.

    `request` is sent in place of the task's input, which an agent may have declared as something
    else. Raises ValueError or TypeError with what to change.
    """
    asked = request if request is not None else task.input
    if not isinstance(asked, Request):
        raise TypeError(
            "the input of this agent is no request to a model: make one of it, and write "
            "models.answer(task, request=Request(messages=(Message('user', …),), …))"
        )
    if tools and task.resume == "continue":
        raise ValueError(
            "an answer with tools cannot continue behind its text alone: write "
            '@agent(resume="replay") above the agent'
        )
    readers = set[asyncio.Task[Any]]()
    if tools or task.resume == "replay":
        events = Loop(task, asked, [tool(each) for each in tools], rounds).events()
    else:
        events = _answer(task, asked, readers, is_first=next(task.calls) == 0)
    task.scope.push_async_callback(_close, events, readers)
    return events


async def _close(events: AsyncGenerator[Event], readers: "set[asyncio.Task[Any]]") -> None:
    if not (isinstance(events, AsyncGeneratorType) and events.ag_running):
        await events.aclose()
        return
    # A task that the agent has left behind is reading it. Those of steps end with the steps.
    left = readers - {asyncio.current_task()}
    for reader in left:
        reader.cancel()
    if left:
        await asyncio.wait(left)


async def _answer(
    task: "Task[Any]", request: Request, readers: "set[asyncio.Task[Any]]", *, is_first: bool
) -> AsyncGenerator[Event]:
    reader = asyncio.current_task()
    assert reader is not None
    readers.add(reader)
    delivered = Partial.of(task.said, task.tokens if task.said else None)
    yielded: list[Event] = []
    try:
        async with aclosing(task.model.stream(request, delivered)) as events:
            async for event in events:
                if isinstance(event, Done):
                    counts = event.input_tokens, event.output_tokens
                    latest = Partial.of(yielded)
                    yield Done(event.finish_reason, *plausible(counts, request, delivered, latest))
                    return
                if isinstance(event, ToolUse):
                    raise failure("tool_use_unsupported")
                yield event
                yielded.append(event)
        raise failure("provider_cut")
    except ProviderError as error:
        reported = plausible_count(error.output_tokens, request.max_tokens)
        error.hint = _tokens(delivered, Partial.of(yielded), reported)
        # Another request of the same attempt may have cost something.
        error.free &= is_first and next(task.calls) == 1
        raise


def _tokens(delivered: Partial, latest: Partial, reported: int | None) -> int | None:
    """The tokens of the whole answer so far; `reported` is the provider's count for `latest`."""
    if reported is None and delivered.tokens is None:
        return None
    return tokens_of(delivered) + (tokens_of(latest) if reported is None else reported)
