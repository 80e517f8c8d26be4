"""Asking a provider until there is an end: an answer, or a failure that asking again won't mend.

failed before its first token     asked again, with back-off, while there is patience
failed after some                 asked to go on, a few times; each time is a `claim`
refused for good                  told at once
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from app.event_log.records import Answer, Claim, Done, Failed, Payload, Thinking
from app.exceptions import ProviderError
from app.generation.claims import continued
from app.log import logger
from app.providers.base import AnswerDelta, Delta, Finish, Partial, Provider, Request, ThinkingDelta
from app.providers.failures import failure

_BACKOFF_FIRST = 0.25
_BACKOFF_MOST = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endurance:
    """How much of a provider's trouble is borne.

    `patience`, in seconds, is how long it is asked for a first token; `attempts` is how many may
    break off after one.
    """

    patience: float
    attempts: int


async def ask(
    provider: Provider,
    request: Request,
    said: Partial,
    *,
    attempt: int,
    endurance: Endurance,
) -> AsyncGenerator[Payload]:
    """Yield what is to be appended, up to `Done` or `Failed`.

    `said` is what earlier attempts have delivered, and `attempt` the number of this one.
    """
    clock = asyncio.get_running_loop().time
    broken_off = 0
    give_up_at, backoff = clock() + endurance.patience, _BACKOFF_FIRST
    while True:
        spoken: list[ThinkingDelta | AnswerDelta] = []
        try:
            async with aclosing(provider.stream(request, said)) as deltas:
                async for delta in deltas:
                    yield _payload(delta)
                    if isinstance(delta, Finish):
                        return
                    if delta.text:
                        spoken.append(delta)
            raise failure("provider_cut")
        except ProviderError as error:
            logger.warning("the provider failed", extra={"code": error.code, "attempt": attempt})
            broken_off += bool(spoken)
            # Jitter, so that writers throttled together do not come back together.
            pause = backoff * random.uniform(0.5, 1)  # noqa: S311
            out_of_patience = not spoken and clock() + pause > give_up_at
            if not error.retryable or out_of_patience or broken_off >= endurance.attempts:
                yield Failed(error.code, error.message, error.retryable)
                return
        await asyncio.sleep(pause)
        backoff = min(backoff * 2, _BACKOFF_MOST)
        if spoken:
            attempt += 1
            said = _together(said, spoken)
            yield Claim(attempt, continued(provider, request, said))
            give_up_at, backoff = clock() + endurance.patience, _BACKOFF_FIRST


def _together(said: Partial, spoken: Sequence[ThinkingDelta | AnswerDelta]) -> Partial:
    return Partial.of(
        thinking=[said.thinking, *(d.text for d in spoken if isinstance(d, ThinkingDelta))],
        answer=[said.answer, *(d.text for d in spoken if isinstance(d, AnswerDelta))],
    )


def _payload(delta: Delta) -> Payload:
    match delta:
        case ThinkingDelta(text):
            return Thinking(text)
        case AnswerDelta(text):
            return Answer(text)
        case Finish(reason, input_tokens, output_tokens):
            return Done(reason, input_tokens, output_tokens)
