"""Calls: what a producer wants done in a step."""

import hashlib
import inspect
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from durable_stream.codec import Codec
from durable_stream.events import MAX_EVENT, StepEnded
from durable_stream.exceptions import (
    ProducerFailed,
    StepFailed,
    StepRefused,
    described,
    failure_in,
)
from durable_stream.threads import in_thread

logger = logging.getLogger(__name__)

_LONGEST_TEXT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function with its arguments, by the name of its step.

    With `once`, the function must not run a second time.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    codec: Codec
    once: bool = False

    def digest(self) -> str:
        """A digest of the name and the arguments; raises StepRefused if they are not JSON."""
        try:
            text = f"{self.name}{self.codec.arguments(self.args)}"
        except (TypeError, ValueError) as error:
            raise StepRefused(
                "step_invalid",
                f"An argument of the step {self.name!r} is not JSON: capture it in a closure "
                "instead, and pass as an argument a value that identifies it, such as an id.",
            ) from error
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    async def end(self, key: str) -> StepEnded:
        """Call the function; the record of the step's end.

        An exception of the function is recorded. Raises ProducerFailed where the function does,
        because that says something about the attempt, and StepRefused for a value without JSON.
        """
        try:
            value = await self._called()
        except ProducerFailed:
            raise
        except Exception as error:
            if isinstance(error, ExceptionGroup) and (failure := failure_in(error)):
                raise failure from error
            # Not its message: it may quote the input, or a secret.
            logger.warning("a step raised", extra={"step": self.name, **described(error)})
            return StepEnded("", _failure(error), within=key)
        return self._ended(value, key)

    def value(self, end: StepEnded) -> Any:
        """The recorded value; raises StepFailed for an exception.

        Raises ValueError or TypeError if the type has changed since the value was recorded.
        """
        if end.failure:
            type_, text = json.loads(end.failure)
            raise StepFailed(self.name, type_, text)
        return self.codec.load(end.value)

    async def _called(self) -> Any:
        if _is_async(self.function):
            return await self.function(*self.args)
        result = await in_thread(self.function, *self.args)
        return await result if inspect.isawaitable(result) else result

    def _ended(self, value: Any, key: str) -> StepEnded:
        try:
            end = StepEnded(self.codec.dump(value), within=key)
            self.codec.load(end.value)
        except (TypeError, ValueError) as error:
            raise StepRefused(
                "step_invalid",
                f"The step {self.name!r} returned a value of the type {type(value).__name__}, "
                "which is not JSON or not of the declared type: return numbers, text, lists and "
                "dicts, or annotate the function.",
            ) from error
        if end.weight > MAX_EVENT:
            raise StepRefused(
                "step_invalid",
                f"The step {self.name!r} returned more than the {MAX_EVENT} characters of JSON "
                "that fit into a record: store the value elsewhere, and return its address.",
            )
        return end


def _failure(error: Exception) -> str:
    if isinstance(error, StepFailed):
        return json.dumps([error.type, error.text])
    return json.dumps([type(error).__name__, str(error)[:_LONGEST_TEXT]])


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - it may be a coroutine function
    )
