"""Chats: the last stream of each, by the id that the page has given to the chat."""

from contextlib import suppress
from dataclasses import dataclass

from app.api import sse
from app.api.deps import Context
from app.exceptions import Unauthorized
from app.gate import Credentials
from durable_stream import Reading, StoreError, StreamNotFound


@dataclass(frozen=True, slots=True)
class Found:
    """A stream, and the owner to whom it belongs."""

    stream_id: str
    owner: str


@dataclass(frozen=True, slots=True)
class Chats:
    """The chats of one request. Every method raises the errors of the gate and of the store."""

    context: Context
    credentials: Credentials

    async def check(self, id_: str) -> None:
        """Raise Unauthorized for a caller without access. Does not read the log."""
        if self.credentials.token is None:
            await self.context.gate.creator(self.credentials)
        elif sse.is_stream_id(id_):
            await self.context.admit(self.credentials, id_)
        else:
            raise Unauthorized

    async def found(self, id_: str) -> Found | None:
        """The stream of this id, or the last one of the chat of this id; None if there is none."""
        if sse.is_stream_id(id_):
            with suppress(StreamNotFound):
                return await self._stream(id_)
        owner = await self.context.gate.creator(self.credentials)
        stream_id = await self.context.pointers.get(owner, _name(id_))
        return None if stream_id is None else Found(stream_id, owner)

    async def reading(self, id_: str) -> Reading | None:
        """A reading of the stream to which the id leads; None if there is none."""
        found = await self.found(id_)
        return None if found is None else await self.reading_of(found)

    async def reading_of(self, found: Found) -> Reading | None:
        """A reading of a stream from its beginning; None if it has expired."""
        context = self.context
        with suppress(StreamNotFound):
            return await context.streams.read(
                found.stream_id, None, context.window, owner=found.owner
            )
        return None

    async def stop(self, id_: str, active: str | None) -> None:
        """Cancel the stream that is named as active, or else the one to which the id leads.

        A stop may come late. It does not end a newer stream of the chat.
        """
        found = None
        if active is None:
            found = await self.found(id_)
        elif sse.is_stream_id(active):
            with suppress(StreamNotFound):
                found = await self._stream(active)
        if found is not None:
            with suppress(StreamNotFound):
                await self.context.streams.cancel(found.stream_id)

    async def _stream(self, stream_id: str) -> Found:
        owner = await self.context.admit(self.credentials, stream_id)
        await self.context.streams.start(stream_id)
        return Found(stream_id, owner)


async def keep(chat_id: str | None, owner: str, reading: Reading, context: Context) -> None:
    """Make the stream the last one of its chat.

    If the store fails, the stream is cancelled, since no client will know it.
    """
    if chat_id is None:
        return
    try:
        await context.pointers.put(owner, _name(chat_id), reading.stream_id)
    except StoreError:
        with suppress(StoreError):
            await context.streams.cancel(reading.stream_id)
        raise


def _name(chat_id: str) -> str:
    return f"ai-sdk:chat:{chat_id}"
