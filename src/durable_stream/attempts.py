"""Asking a provider until there is an end: an answer, or a failure that asking again won't mend.

refused before the model is at work   asked again, with back-off, while there is patience
failed otherwise                      asked again, or to go on, a few times; each time is a `claim`
refused for good                      told at once

A request that may have reached the model may have to be paid for. So the log counts it: with the
`start` or the `claim` that stands before it.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from app.exceptions import ProviderError
from app.limits import estimate
from app.log import logger
from app.models.base import AnswerDelta, Finish, Partial, Provider, Request, ThinkingDelta
from app.models.claims import continued
from app.models.failures import failure, is_free
from app.models.lengths import taken
from durable_stream.records import Answer, Claim, Done, Failed, Payload, Thinking

_BACKOFF_FIRST = 0.25
_BACKOFF_MOST = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endurance:
    """How much of a provider's trouble is borne.

    `patience`, in seconds, is how long it is asked for a first token. `attempts` is how many
    requests of one writer may fail that may have cost something. `fruitless` is how many claims
    may follow each other without a word in between.
    """

    patience: float
    attempts: int
    fruitless: int


async def ask(
    provider: Provider,
    request: Request,
    said: Partial,
    *,
    attempt: int,
    endurance: Endurance,
    fruitless: int = 0,
) -> AsyncGenerator[Payload]:
    """Yield what is to be appended, up to `Done` or `Failed`.

    `said` is what earlier attempts have delivered, and `attempt` the number of this one.
    `fruitless` is how many claims the log has behind its last text. Whoever takes a `Claim` from
    here lets it become durable before asking for more: what comes next asks the model.
    """
    trouble = _Trouble(endurance, fruitless)
    while True:
        spoken: list[ThinkingDelta | AnswerDelta] = []
        try:
            async with aclosing(provider.stream(request, said)) as deltas:
                async for delta in deltas:
                    if isinstance(delta, Finish):
                        yield _done(delta, request, _together(said, spoken, None))
                        return
                    yield _payload(delta)
                    if delta.text:
                        spoken.append(delta)
            raise failure("provider_cut")
        except ProviderError as error:
            logger.warning("the provider failed", extra={"code": error.code, "attempt": attempt})
            free, told = is_free(error) and not spoken, error.output_tokens
            pause = trouble.bear(error, free=free, spoken=bool(spoken))
            if pause is None:
                yield Failed(error.code, error.message, error.retryable, free)
                return
        await asyncio.sleep(pause)
        if not free:
            attempt += 1
            said = _together(said, spoken, _believed(told, request.max_tokens))
            yield Claim(attempt, continued(provider, request, said))


class _Trouble:
    """What has gone wrong so far, and how much more of it is borne."""

    def __init__(self, endurance: Endurance, fruitless: int) -> None:
        self._endurance = endurance
        self._fruitless = fruitless
        self._failed = 0
        self._clock = asyncio.get_running_loop().time
        self._give_up_at = self._clock() + endurance.patience
        self._backoff = _BACKOFF_FIRST

    def bear(self, error: ProviderError, *, free: bool, spoken: bool) -> float | None:
        """How many seconds to wait before asking again; None if it is not worth it."""
        if spoken:
            self._give_up_at = self._clock() + self._endurance.patience
            self._backoff, self._fruitless = _BACKOFF_FIRST, 0
        # Jitter, so that writers throttled together do not come back together.
        pause = self._backoff * random.uniform(0.5, 1)  # noqa: S311
        self._backoff = min(self._backoff * 2, _BACKOFF_MOST)
        bearable = error.retryable and self._clock() + pause <= self._give_up_at
        if not free:
            self._failed += 1
            bearable &= self._failed < self._endurance.attempts
            bearable &= self._fruitless < self._endurance.fruitless
            self._fruitless += 1
        return pause if bearable else None


def _together(
    said: Partial, spoken: Sequence[ThinkingDelta | AnswerDelta], told: int | None
) -> Partial:
    """All that was delivered; `told` is how many tokens the provider says `spoken` took."""
    now = Partial.of(
        thinking=(d.text for d in spoken if isinstance(d, ThinkingDelta)),
        answer=(d.text for d in spoken if isinstance(d, AnswerDelta)),
    )
    together = Partial.of([said.thinking, now.thinking], [said.answer, now.answer])
    if told is None and said.tokens is None:
        return together
    return replace(together, tokens=taken(said) + (taken(now) if told is None else told))


def _payload(delta: ThinkingDelta | AnswerDelta) -> Thinking | Answer:
    return Thinking(delta.text) if isinstance(delta, ThinkingDelta) else Answer(delta.text)


def _done(finish: Finish, request: Request, said: Partial) -> Done:
    """The end, with the token counts that can be true; `said` is all that was delivered."""
    if finish.asked and not finish.input_tokens and not finish.output_tokens:
        # A server that does not count tells zeros, and no request costs nothing.
        return Done(finish.reason, None, None)
    return Done(
        finish.reason,
        _believed(finish.input_tokens, estimate.input_at_most(request, said)),
        _believed(finish.output_tokens, estimate.output_at_most(request, said)),
    )


def _believed(told: int | None, most: int) -> int | None:
    """A token count; None if it cannot be true, as if it had not been told."""
    if told is None or 0 <= told <= most:
        return told
    logger.warning("the provider told a token count that cannot be", extra={"most": most})
    return None
