"""Attempts: running a producer until there is an end, or a failure that another try won't mend.

failed for free, with no event    tried again, with back-off, while there is patience
failed otherwise                  tried again a few times; each time is a `claim`
failed for good                   told at once

An attempt that may have cost something is counted in the log, by the `start` or the `claim` that
stands before it.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from durable_stream.buffer import EventBuffer
from durable_stream.events import (
    Claim,
    Event,
    Failed,
    Reset,
    StepBegun,
    is_lasting,
    started_over,
)
from durable_stream.exceptions import ProducerFailed, failure_in
from durable_stream.steps import Steps
from durable_stream.task import Producer, Resume, Task, of_producer

logger = logging.getLogger(__name__)

_BACKOFF_FIRST = 0.25
_BACKOFF_MOST = 8.0


_GIVEN_UP = Failed(
    "given_up",
    "Several attempts at this stream ended without progress. Try again later.",
    retryable=True,
)
_INTERRUPTED = Failed(
    "interrupted",
    "The process stopped while the work was under way, and this work must not run twice.",
    retryable=False,
)
_BROKEN = Failed(
    "broken",
    "The stream failed for a reason that the operator finds in the function's log.",
    retryable=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a failing producer is tried again.

    `patience`, in seconds, is how long free failures are waited out. `attempts` is how many others
    one writer bears. After `idle_attempts` attempts in a row without progress, a stream ends with
    `given_up`; one whose producer raises an unexpected exception ends with `broken`; and one whose
    producer must never be resumed ends with `interrupted`.
    """

    patience: float = 150.0
    attempts: int = 3
    idle_attempts: int = 5
    given_up: Failed = _GIVEN_UP
    broken: Failed = _BROKEN
    interrupted: Failed = _INTERRUPTED


async def attempts(
    producer: Producer, task: Task, buffer: EventBuffer, policy: RetryPolicy
) -> AsyncGenerator[Event]:
    """Yield the events to append, up to a terminal one.

    The caller puts them into the buffer. It lets a `Claim` from here become durable before it asks
    for more: the next event starts another attempt.
    """
    trouble = _Trouble(policy, task.idle)
    resume = producer.resume(task.start)
    while True:
        if resume == "restart" and task.said:
            yield (reset := Reset())
            task = replace(task, log=(*task.log, reset))
        begun = len(buffer.accepted)
        steps = _steps_of(task, buffer, resume)
        try:
            async with aclosing(_attempt(producer, task, steps)) as events:
                async for event in events:
                    yield event
                    if event.terminal:
                        return
            raise RuntimeError("a producer ended without a terminal event")
        except ProducerFailed as error:
            named = {"code": error.code, "attempt": task.attempt}
            logger.warning("the producer failed", extra=named)
            failed = error
        logged = buffer.accepted[begun:]
        is_free = failed.free and not steps.may_have_cost and _only_began(logged)
        again = started_over((*task.log, *logged)) | ({""} if resume == "restart" else set())
        progressed = any(is_lasting(event, again) for event in logged)
        pause = trouble.pause(failed, free=is_free, progressed=progressed)
        if pause is None or resume == "never":
            yield Failed(failed.code, failed.message, failed.retryable, is_free)
            return
        await asyncio.sleep(pause)
        task = replace(task, log=(*task.log, *of_producer(logged)))
        if not is_free:
            task = replace(task, attempt=task.attempt + 1, hint=failed.hint)
            yield Claim(task.attempt, producer.continued(task))


def _steps_of(task: Task, buffer: EventBuffer, resume: Resume) -> Steps:
    return Steps(
        task.stream_id,
        task.log,
        task.said,
        buffer,
        restarts=resume == "restart",
        replays=resume == "replay",
    )


async def _attempt(producer: Producer, task: Task, steps: Steps) -> AsyncGenerator[Event]:
    """The events of one attempt that the log has not."""
    try:
        async with aclosing(producer.events(task, steps)) as events:
            async for event in events:
                if event.terminal:
                    steps.finish()
                    yield event
                    return
                if event.within:  # It was in `task.said`, and comes from outside of steps now.
                    event = replace(event, within="")  # noqa: PLW2901
                for news in steps.news(event):
                    yield news
    except Exception as error:
        # A producer may have caught it, and raised an error of its own.
        if steps.refusal is not None and error is not steps.refusal:
            raise steps.refusal from error
        if isinstance(error, ExceptionGroup) and (failure := failure_in(error)):
            raise failure from error
        raise
    finally:
        await steps.close()


def _only_began(logged: Sequence[Event]) -> bool:
    """True if nothing was logged but that steps began."""
    return all(isinstance(event, StepBegun) for event in logged)


class _Trouble:
    """The failures of one writer so far, measured against a policy."""

    def __init__(self, policy: RetryPolicy, idle: int) -> None:
        self._policy = policy
        self._idle = idle
        self._failed = 0
        self._clock = asyncio.get_running_loop().time
        self._give_up_at = self._clock() + policy.patience
        self._backoff = _BACKOFF_FIRST

    def pause(self, error: ProducerFailed, *, free: bool, progressed: bool) -> float | None:
        """How many seconds to wait before the next attempt; None if it is not worth one."""
        if progressed:
            self._give_up_at = self._clock() + self._policy.patience
            self._backoff, self._idle = _BACKOFF_FIRST, 0
        # Jitter, so that writers throttled together do not come back together.
        pause = self._backoff * random.uniform(0.5, 1)  # noqa: S311
        self._backoff = min(self._backoff * 2, _BACKOFF_MOST)
        worth_it = error.retryable and self._clock() + pause <= self._give_up_at
        if not free:
            self._failed += 1
            worth_it &= self._failed < self._policy.attempts
            worth_it &= self._idle < self._policy.idle_attempts
            self._idle += 1
        return pause if worth_it else None
