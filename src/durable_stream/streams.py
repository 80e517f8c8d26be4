"""The streams of this process: creating, reading, cancelling and closing them."""

from weakref import WeakValueDictionary

from durable_stream.creation import Creation
from durable_stream.engine import Engine
from durable_stream.events import Cancelled, Start
from durable_stream.exceptions import BadCursor, StoreUnavailable, StreamNotFound
from durable_stream.history import History
from durable_stream.reading import Reading
from durable_stream.records import Record
from durable_stream.stream import Stream
from durable_stream.timing import Window
from durable_stream.writing import Writing


class Streams:
    """All operations on streams. One object a process, made inside its event loop.

    Every method raises StoreUnavailable or StoreRefused when the store fails.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._creation = Creation(engine)
        self._streams: WeakValueDictionary[str, Stream] = WeakValueDictionary()
        self._written: set[Stream] = set()
        self._closed = False

    async def create(self, start: Start, key: str | None) -> Record:
        """The start of a new stream, or of the one that this idempotency key has made before.

        The stream has no writer yet: its first reader will be. Raises KeyReused, InputTooLarge,
        and the errors of hooks.
        """
        record = self._creation.start(start, key, writer="")
        if key and (present := await self._creation.repeated(record)):
            return present
        return await self._creation.put(record) or record

    async def repeated(self, start: Start, key: str) -> Record:
        """The start of the stream that this key has made before.

        Raises StreamNotFound, KeyReused, InputTooLarge, and the errors of hooks.
        """
        present = await self._creation.repeated(self._creation.start(start, key, writer=""))
        if present is None:
            raise StreamNotFound
        return present

    async def create_and_read(self, start: Start, key: str | None, window: Window) -> Reading:
        """As `create`, and a reader at the beginning, whose process is the writer.

        Without a key no other process can know the stream, so the producer is started while the
        start is still on its way to the store: the first event is one append away, not two.
        """
        record = self._creation.start(start, key, writer=self._engine.name)
        stream = self._stream(record.stream_id)
        if key and (present := await self._creation.repeated(record)):
            stream.tail.feed(present)
            return Reading(stream, 0, window)
        writing = None
        # Held from before the start is in the log, so that no reader here takes over first.
        async with stream.beginning():
            if self._closed:
                raise StoreUnavailable("this process is about to end")
            # A request with the same key may have created it while we waited for the lock.
            if stream.tail.newest is None or await self._creation.repeated(record) is None:
                writing = await self._creation.begin(stream, record, window, at_once=not key)
        return Reading(stream, 0, window, writing=writing)

    async def read(
        self, stream_id: str, after: int | None, window: Window, *, owner: str = ""
    ) -> Reading | None:
        """A reader behind position `after` (None: at the beginning); None if nothing is left.

        `owner` is for the hooks. Raises StreamNotFound, BadCursor, and the errors of hooks.
        """
        store = self._engine.store
        page = await store.read(stream_id, after or 0, consistent=True)
        if not page.records:
            newest = await store.newest(stream_id) if after else None
            if newest is not None and not self._engine.expired(newest):
                raise BadCursor(f"Position {after} is beyond the end of this stream.")
            raise StreamNotFound
        if self._engine.expired(page.records[0]):
            raise StreamNotFound
        if after is not None and page.records[0].terminal:
            return None
        await self._engine.hooks.connecting(stream_id, owner, window)
        stream = self._stream(stream_id)
        if not page.more:
            stream.tail.feed(*page.records)
        if after is None:
            return Reading(stream, 0, window, first=page.records)
        self._engine.hooks.resumed()
        return Reading(stream, after + 1, window, first=page.records[1:])

    async def start(self, stream_id: str) -> Start:
        """The event that created a stream; raises StreamNotFound."""
        record = await self._engine.store.at(stream_id, 0)
        if record is None or self._engine.expired(record):
            raise StreamNotFound
        assert isinstance(record.event, Start)
        return record.event

    async def newest(self, stream_id: str) -> Record:
        """The newest record of a stream; raises StreamNotFound."""
        record = await self._engine.store.newest(stream_id)
        if record is None or self._engine.expired(record):
            raise StreamNotFound
        return record

    async def history(self, stream_id: str) -> History:
        """A stream as far as it has come; raises StreamNotFound."""
        records = await self._stream(stream_id).records()
        if not records or self._engine.expired(records[0]):
            raise StreamNotFound
        return History.of(records)

    async def cancel(self, stream_id: str) -> History:
        """End a stream for all its readers, unless it has ended; raises StreamNotFound."""
        newest = await self.newest(stream_id)
        ours = await self._stream(stream_id).cancel(newest)
        history = await self.history(stream_id)
        if ours:
            await self._engine.hooks.ended(history, Cancelled(), None)
        return history

    async def remove(self, stream_id: str) -> None:
        """End a stream, and delete its records; raises StreamNotFound.

        It is gone at once. Records that a failure of the store leaves behind expire in their time.
        """
        history = await self.cancel(stream_id)
        await self._engine.store.remove(*history.tombstones(self._engine.clock.now()))

    async def close(self) -> None:
        """Hand over the streams that are written here, so that others take them over at once."""
        self._closed = True
        streams = list(self._streams.values())
        for stream in streams:
            stream.tail.close()
        for writing in self._writings():
            writing.hand_over()
        for stream in streams:
            async with stream.lock:
                pass  # A writer that was about to begin does so now, and hands over at once.
        for writing in self._writings():
            await writing.over()

    def _writings(self) -> list[Writing]:
        return [each.writing for each in self._written if each.writing is not None]

    def _stream(self, stream_id: str) -> Stream:
        stream = self._streams.get(stream_id)
        if stream is None:
            stream = self._streams[stream_id] = Stream(stream_id, self._engine, self._written)
            stream.tail.closed = self._closed
        return stream
