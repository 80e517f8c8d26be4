"""Answers a task with the configured model, and reports each request's tokens."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from app.events import Done
from app.exceptions import ProviderError
from app.log import logger
from app.models import estimate
from app.models.base import Partial, Request
from app.models.failures import failure
from app.models.lengths import tokens_left, tokens_of
from durable_stream import Event

if TYPE_CHECKING:
    from app.task import Task  # It imports this package.


def answer(task: "Task") -> AsyncGenerator[Event]:
    """The model's answer to a task, after the delivered text; raises ProviderError."""
    events = _answer(task, is_first=next(task.calls) == 0)
    task.scope.push_async_callback(events.aclose)
    return events


async def _answer(task: "Task", *, is_first: bool) -> AsyncGenerator[Event]:
    delivered = Partial.of(task.said, task.tokens)
    yielded: list[Event] = []
    try:
        async with aclosing(task.model.stream(task.input, delivered)) as events:
            async for event in events:
                if isinstance(event, Done):
                    yield _plausible(event, task.input, delivered, Partial.of(yielded))
                    return
                yield event
                yielded.append(event)
        raise failure("provider_cut")
    except ProviderError as error:
        reported = _plausible_count(error.output_tokens, task.input.max_tokens)
        error.hint = _tokens(delivered, Partial.of(yielded), reported)
        # An earlier request of the same attempt may have cost something.
        error.free &= is_first
        raise


def _tokens(delivered: Partial, latest: Partial, reported: int | None) -> int | None:
    """The tokens of the whole answer so far; `reported` is the provider's count for `latest`."""
    if reported is None and delivered.tokens is None:
        return None
    return tokens_of(delivered) + (tokens_of(latest) if reported is None else reported)


def _plausible(done: Done, request: Request, delivered: Partial, latest: Partial) -> Done:
    """The end of the answer, without token counts that cannot be true.

    A server that does not count reports zeros, and every request that is sent costs something.
    """
    if tokens_left(request, delivered) > 0 and not done.input_tokens and not done.output_tokens:
        return Done(done.finish_reason)
    text = Partial(delivered.thinking + latest.thinking, delivered.answer + latest.answer)
    return Done(
        done.finish_reason,
        _plausible_count(done.input_tokens, estimate.input_at_most(request, text)),
        _plausible_count(done.output_tokens, estimate.output_at_most(request, text)),
    )


def _plausible_count(reported: int | None, most: int) -> int | None:
    """A token count; None if it cannot be true, as if it had not been reported."""
    if reported is None or 0 <= reported <= most:
        return reported
    logger.warning("the provider reported an impossible token count", extra={"most": most})
    return None
