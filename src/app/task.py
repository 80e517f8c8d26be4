"""The task of an agent: one attempt at one answer."""

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Generic, overload

from typing_extensions import TypeVar

from app.models.base import Provider, Request
from app.step_json import codec_for
from durable_stream import Event, Resume, Steps

Input = TypeVar("Input", default=Request)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Generic[Input]):
    """One attempt at an answer, and the way of its events into the log.

    `stream_id` is the same in every attempt, and attempts count from 1. `input` is what the caller
    asks, as the agent declares it: by default a `Request` to the model. `said` has the events that
    earlier attempts have delivered and that still count; `tokens` is the number of tokens in its
    text, None where the provider did not report it. `resume` is how the agent resumes. `deadline`,
    a time of the event loop's clock, is when the process has to hand over. `model` is the
    configured provider.

    `scope` is closed when the attempt ends: a generator that an agent reads in an `async for` is
    not closed with the agent by itself. `calls` numbers the requests to the model.
    """

    stream_id: str
    attempt: int
    input: Input
    said: tuple[Event, ...]
    resume: Resume
    deadline: float
    model: Provider
    steps: Steps
    tokens: int | None = None
    scope: AsyncExitStack = field(default_factory=AsyncExitStack)
    calls: Iterator[int] = field(default_factory=count)

    @overload
    def step(
        self,
        name: str,
        function: Callable[..., Awaitable[T]],
        *args: Any,
        key: str = "",
        once: bool = False,
    ) -> Coroutine[Any, Any, T]: ...

    @overload
    def step(
        self,
        name: str,
        function: Callable[..., T],
        *args: Any,
        key: str = "",
        once: bool = False,
    ) -> Coroutine[Any, Any, T]: ...

    def step(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        key: str = "",
        once: bool = False,
    ) -> Coroutine[Any, Any, Any]:
        """The function's result, recorded once; a later attempt gets it from the log.

        The result is JSON, read by the function's return annotation if it has one. A function that
        is not `async` runs in a thread. A step whose end was not recorded runs again, so let the
        world recognize it by `step_key`; with `once`, the stream ends instead. `key` tells steps of
        one name apart.

        Raises StepFailed if the function raised an exception, now or in an earlier attempt, and
        StepRefused where a rule of steps is broken, which ends the stream.
        """
        codec = codec_for(name, function)
        return self.steps.step(name, function, *args, key=key, once=once, codec=codec)

    async def emit(self, event: Event) -> None:
        """Log an event from inside a step's function, which cannot yield one."""
        await self.steps.emit(event)

    def continuing(self) -> tuple[Event, ...]:
        """In a step: the events that an interrupted run of it has logged.

        Then emit only the events that follow. A function that does not ask emits all events again,
        and those that the log has are left out.
        """
        return self.steps.continuing()

    @property
    def step_key(self) -> str:
        """In a step: its idempotency key, at most 64 characters, the same in every attempt."""
        return self.steps.key

    async def logged(self) -> None:
        """Return when everything that was yielded is durable."""
        await self.steps.logged()

    def branch(self, label: str) -> AbstractContextManager[None]:
        """Keep the steps of the block apart from those of coroutines that run beside it."""
        return self.steps.branch(label)
