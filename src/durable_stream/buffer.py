"""Between a provider that speaks when it likes and a log that takes one record at a time."""

import asyncio
from collections import deque

from durable_stream.records import TERMINAL, Answer, Payload, Thinking

# A record's text, in characters: with every one escaped (6 bytes, 12 outside the BMP) the item
# stays below DynamoDB's 400 KB.
MAX_TEXT = 16_000

# What may wait for a log that does not answer. The provider is held up beyond it.
MAX_WAITING = 256_000


class DeltaBuffer:
    """Holds what is not yet appended, and merges it into as few records as it can."""

    def __init__(self) -> None:
        self._waiting: deque[Payload] = deque()
        self._characters = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def complete(self) -> bool:
        """Whether the end of the stream waits in here."""
        return bool(self._waiting) and isinstance(self._waiting[-1], TERMINAL)

    async def put(self, payload: Payload) -> None:
        """Add one payload; text waits while there is too much, and is left out if it is empty."""
        if isinstance(payload, Thinking | Answer):
            if not payload.text:
                return
            await self._room.wait()
            self._characters += len(payload.text)
            if self._characters > MAX_WAITING:
                self._room.clear()
        self._waiting.append(payload)
        self.wake()

    def wake(self) -> None:
        """Let whoever waits for a change look again."""
        self._changed.set()

    async def changed(self, seconds: float) -> None:
        """Return at the next change, or when the time is over."""
        self._changed.clear()
        try:
            async with asyncio.timeout(max(0, seconds)):
                await self._changed.wait()
        except TimeoutError:
            pass

    def take(self) -> list[Payload]:
        """Everything that waits, text of one kind together, each piece fit for a record."""
        taken: list[Payload] = []
        while self._waiting:
            payload = self._waiting.popleft()
            if isinstance(payload, Thinking | Answer):
                taken += _pieces(type(payload), self._run_of(payload))
            else:
                taken.append(payload)
        self._characters = 0
        self._room.set()
        return taken

    def _run_of(self, first: Thinking | Answer) -> str:
        kind = type(first)
        texts = [first.text]
        while self._waiting and isinstance(following := self._waiting[0], kind):
            texts.append(following.text)
            self._waiting.popleft()
        return "".join(texts)


def _pieces(kind: type[Thinking] | type[Answer], text: str) -> list[Payload]:
    return [kind(text[start : start + MAX_TEXT]) for start in range(0, len(text), MAX_TEXT)]
