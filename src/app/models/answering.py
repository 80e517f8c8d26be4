"""Answering a task with the model: each request that is sent, and its cost as far as known."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from app.events import Done
from app.exceptions import ProviderError
from app.log import logger
from app.models import estimate
from app.models.base import Partial
from app.models.failures import failure
from app.models.lengths import left, taken
from app.task import Task
from durable_stream import Event


def answer(task: Task) -> AsyncGenerator[Event]:
    """The model's answer to a task, behind the text that was delivered; raises ProviderError."""
    events = _answer(task)
    task.scope.push_async_callback(events.aclose)
    return events


async def _answer(task: Task) -> AsyncGenerator[Event]:
    spoken: list[Event] = []
    try:
        async with aclosing(task.model.stream(task.input, task.said)) as events:
            async for event in events:
                if isinstance(event, Done):
                    yield _believable(event, task, spoken)
                    return
                yield event
                spoken.append(event)
        raise failure("provider_cut")
    except ProviderError as error:
        told = _believed(error.output_tokens, task.input.max_tokens)
        error.hint = _tokens(task.said, Partial.of(spoken), told)
        raise


def _tokens(said: Partial, now: Partial, told: int | None) -> int | None:
    """The tokens of the whole answer so far; `told` is what the provider reports for `now`."""
    if told is None and said.tokens is None:
        return None
    return taken(said) + (taken(now) if told is None else told)


def _believable(done: Done, task: Task, spoken: Sequence[Event]) -> Done:
    """The end, with the token counts that can be true.

    A server that does not count reports zeros, and no request that is sent costs nothing.
    """
    if left(task.input, task.said) > 0 and not done.input_tokens and not done.output_tokens:
        return Done(done.finish_reason)
    now = Partial.of(spoken)
    whole = Partial(task.said.thinking + now.thinking, task.said.answer + now.answer)
    return Done(
        done.finish_reason,
        _believed(done.input_tokens, estimate.input_at_most(task.input, whole)),
        _believed(done.output_tokens, estimate.output_at_most(task.input, whole)),
    )


def _believed(told: int | None, most: int) -> int | None:
    """A token count; None if it cannot be true, as if it had not been reported."""
    if told is None or 0 <= told <= most:
        return told
    logger.warning("the provider told a token count that cannot be", extra={"most": most})
    return None
