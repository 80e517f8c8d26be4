"""The task of an agent: one attempt at one answer."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

from app.models.base import Partial, Provider, Request
from durable_stream import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A request to answer, and the text that earlier attempts at it have delivered.

    `stream_id` is the same in every attempt, so it can be part of an idempotency key. Attempts
    count from 1. `model` is the configured provider. `scope` is closed when the attempt ends: a
    generator that an agent reads in an `async for` is not closed with the agent by itself. `calls`
    numbers the requests to the model.
    """

    stream_id: str
    attempt: int
    input: Request
    said: Partial
    model: Provider
    scope: AsyncExitStack = field(default_factory=AsyncExitStack)
    calls: Iterator[int] = field(default_factory=count)


Agent: TypeAlias = Callable[[Task], AsyncGenerator[Event]]
