"""Creation: new streams, and those that an idempotency key has created before."""

import base64
import hashlib
import secrets

from durable_stream.engine import Engine
from durable_stream.events import MAX_EVENT, Start, encode
from durable_stream.exceptions import InputTooLarge, KeyReused
from durable_stream.history import History
from durable_stream.records import Record, new_nonce
from durable_stream.retry import retry
from durable_stream.stream import Stream
from durable_stream.task import Task
from durable_stream.timing import Window
from durable_stream.writing import Writing

_EXPIRED_KEY = "This Idempotency-Key made a stream that has expired: use a new key."

# 192 bits: unguessable, and 32 characters of base64 without padding.
_ID_BYTES = 24


class Creation:
    """Creates streams, one for each idempotency key of an owner."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def start(self, event: Start, key: str | None, *, writer: str) -> Record:
        """The start record of a stream; raises InputTooLarge.

        A key gives the same stream id every time. Without a writer, the first reader claims it.
        """
        if len(encode(event)) > MAX_EVENT:
            raise InputTooLarge
        now = self._engine.clock.now()
        return Record(
            stream_id=derived_id(event.owner, key) if key else secrets.token_urlsafe(_ID_BYTES),
            seq=0,
            event=event,
            writer=writer,
            nonce=new_nonce(),
            at=int(now * 1000),
            expires_at=int(now) + self._engine.timing.stream_ttl,
        )

    async def repeated(self, start: Record) -> Record | None:
        """The start that this key has made before, if it has; raises KeyReused.

        Also while any record is left of an expired stream of the same key: DynamoDB deletes
        expired records in any order, so position 0 may be free and the rest another stream's.
        """
        newest = await self._engine.store.newest(start.stream_id)
        if newest is None:
            return None
        if self._engine.expired(newest):
            raise KeyReused(_EXPIRED_KEY)
        at_zero = self._engine.store.at
        present = newest if newest.seq == 0 else await at_zero(start.stream_id, 0)
        if present is None:
            raise KeyReused(_EXPIRED_KEY)
        self._check_same(start, present)
        await self._engine.hooks.repeated(start)
        return present

    async def put(self, start: Record) -> Record | None:
        """Log a new start; None if it is there now, else the start that a request put first.

        Raises KeyReused, StoreUnavailable, StoreRefused, and the errors of hooks.
        """
        await self._engine.hooks.creating(start)
        return await self._put(start)

    async def begin(
        self, stream: Stream, start: Record, window: Window, *, at_once: bool
    ) -> Writing | None:
        """Log a new start and write its stream; None if another request was first to put one.

        `at_once` starts the producer before the start is in the log. Raises as `put`.
        """
        assert isinstance(start.event, Start)
        await self._engine.hooks.creating(start)
        task = Task(stream_id=stream.stream_id, attempt=1, start=start.event)
        writing = stream.produce(task, window) if at_once else None
        try:
            present = await self._put(start)
        except BaseException:
            if writing is not None:
                await writing.abandon()
            raise
        stream.tail.feed(present or start)
        if present is not None:
            return None
        writing = writing or stream.produce(task, window)
        stream.write(writing, stream.writer(start), History.of([start]))
        return writing

    async def _put(self, start: Record) -> Record | None:
        store, timing = self._engine.store, self._engine.timing
        present = await retry(lambda: store.append(start), timing.create_patience)
        if present is not None:
            await self._engine.hooks.withdrawn(start)
            self._check_same(start, present)
        return present

    def _check_same(self, start: Record, present: Record) -> None:
        assert isinstance(start.event, Start)
        assert isinstance(present.event, Start)
        if self._engine.expired(present):
            raise KeyReused(_EXPIRED_KEY)
        if not start.event.repeats(present.event):
            raise KeyReused(
                "This Idempotency-Key came with another request before: use a new key for a new "
                "request, and repeat a request unchanged."
            )


def derived_id(owner: str, key: str) -> str:
    """The stream id that an idempotency key of one owner always gives."""
    digest = hashlib.sha256(f"idempotency-key:{owner}:{key}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:_ID_BYTES]).decode()
