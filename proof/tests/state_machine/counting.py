"""Two that count, as far as they may: anything lost or repeated shows in the numbers.

One is a model behind the chat, the other an agent that counts in steps.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count

from app.events import Answer, Data, Done
from app.exceptions import ProviderError
from app.models.base import Continuation, Message, Partial, Request
from app.task import Task
from durable_stream import Event

TEXT = "".join(f"{number} " for number in range(1, 5000))

# In characters, and the seconds between two: long enough that each can be a record of its own.
_PIECE = 7
_PAUSE = 0.004

# So many characters the agent with steps says outside of steps, and then in a step.
_OUTSIDE = 5
_WITHIN = 12


@dataclass
class Conversation:
    """The model's scope for one prompt.

    It says `allowed` characters of `TEXT`, and then waits, or finishes if it `finishes`. Each of
    the `failures` happens once, to the next attempt that comes to it. `speaking` is the number of
    those who say it now.
    """

    allowed: int = 0
    finishes: bool = False
    failures: deque[ProviderError] = field(default_factory=deque)
    speaking: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def announce(self) -> None:
        """Let all waiting tasks look again."""
        self._news.set()
        self._news = asyncio.Event()

    async def pieces(self, at: int, until: int) -> AsyncGenerator[str]:
        """The text between two places, as it may be said; it ends early if nothing follows."""
        self.speaking += 1
        try:
            while at < until:
                if self.failures:
                    raise self.failures.popleft()
                if at < self.allowed:
                    piece = TEXT[at : min(at + _PIECE, self.allowed, until)]
                    at += len(piece)
                    yield piece
                    await asyncio.sleep(_PAUSE)
                elif self.finishes:
                    return
                else:
                    await self._news.wait()
        finally:
            self.speaking -= 1


@dataclass
class CountingProvider:
    """Counts on from the delivered text; `conversations` are by prompt."""

    conversations: Mapping[str, Conversation]
    models: tuple[str, ...] = ("counting",)

    def continuation(self, _request: Request) -> Continuation:
        return "prefill"

    async def preload(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def stream(self, request: Request, delivered: Partial) -> AsyncGenerator[Event]:
        conversation = self.conversations[request.messages[0].content]
        at = len(delivered.answer)
        async with aclosing(conversation.pieces(at, len(TEXT))) as pieces:
            async for piece in pieces:
                at += len(piece)
                yield Answer(piece)
        yield Done("stop", 1, at)


@dataclass
class CountingAgent:
    """Counts in steps, with text between them, and another step beside each.

    `began` is told of each execution of a step: the task, its key and its attempt.
    """

    conversations: Mapping[str, Conversation]
    began: Callable[[str, str, int], None]

    async def __call__(self, task: Task) -> AsyncGenerator[Event]:
        conversation = self.conversations[task.input.messages[0].content]

        def begin() -> None:
            self.began(task.stream_id, task.step_key, task.attempt)

        async def said(at: int, until: int) -> int:
            begin()
            if at % 2:  # No other run repeats it, so the step is reset.
                await task.emit(Data("attempt", task.attempt))
            async with aclosing(conversation.pieces(at, until)) as pieces:
                async for piece in pieces:
                    at += len(piece)
                    await task.emit(Answer(piece))
            return at

        def noted(nth: int) -> int:
            begin()
            return nth

        at = 0
        for nth in count(1):
            until = at + _OUTSIDE
            async with aclosing(conversation.pieces(at, until)) as pieces:
                async for piece in pieces:
                    at += len(piece)
                    yield Answer(piece)
            if at < until:
                break
            until = at + _WITHIN
            at, note = await asyncio.gather(
                task.step("say", said, at, until), task.step("note", noted, nth)
            )
            assert note == nth, "a step gets its own value"
            if at < until:
                break
        yield Done("stop", 1, at)


def asking(prompt: str) -> Request:
    return Request(messages=(Message("user", prompt),), model="counting", max_tokens=10_000)
