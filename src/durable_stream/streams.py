"""The streams of this process: creating, reading, continuing and cancelling them."""

import asyncio
import base64
import hashlib
import math
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from weakref import WeakValueDictionary

from app import metrics
from app.exceptions import BadCursor, KeyReused, LogUnavailable, RequestTooLarge, StreamNotFound
from app.limits import estimate
from app.limits.accounts import Accounts, cost
from app.limits.budget import Budget
from app.log import logger, shortened
from app.models.base import Partial, Provider, Request
from app.models.claims import continued
from app.settings import Settings
from durable_stream.attempts import Endurance, ask
from durable_stream.dynamodb import DynamoDBLog
from durable_stream.history import Transcript, is_waiting
from durable_stream.outcome import Outcome
from durable_stream.reading import Reading
from durable_stream.records import (
    Cancelled,
    Claim,
    Failed,
    Record,
    Start,
    encode_payload,
)
from durable_stream.tail import Tail
from durable_stream.writer import Superseded, Writer, append_patiently
from durable_stream.writing import Generation

NOTHING_SAID = Partial()

_ENDING = "this process is about to end"
_EXPIRED_KEY = "this Idempotency-Key made a stream that has expired: use a new key"

# DynamoDB's limit is 400 KB for the whole item.
_LARGEST_START = 390_000

# 192 bits: unguessable, and 32 characters of base64 without padding.
_ID_BYTES = 24


_GIVEN_UP = Failed(
    "given_up",
    "Several attempts at this answer ended without a word. Ask differently, or try again later.",
    retryable=True,
)


@dataclass(frozen=True, slots=True)
class Window:
    """How long a reader's response may last.

    `deadline` is when the platform ends it, in Unix seconds; None where nothing does. `buffered`
    says that nobody sees a byte before it ends, so it should end soon.
    """

    deadline: float | None = None
    buffered: bool = False


class Streams:
    """All that can be done with streams. One object a process, made inside its event loop.

    Every method raises LogUnavailable or LogRefused when the log fails.
    """

    def __init__(
        self, log: DynamoDBLog, provider: Provider, budget: Budget, settings: Settings
    ) -> None:
        self._log = log
        self._provider = provider
        self._accounts = Accounts(budget, settings.create_patience)
        self._settings = settings
        self._name = secrets.token_urlsafe(6)
        self._tails: WeakValueDictionary[str, Tail] = WeakValueDictionary()
        self._written: set[Tail] = set()
        self._closed = False
        self._clock = asyncio.get_running_loop().time

    # Creating

    async def create(self, request: Request, key: str | None, *, owner: str = "") -> Record:
        """The start of a new stream, or of the one that this idempotency key has made before.

        Nobody writes it yet: its first reader will. Raises KeyReused, RequestTooLarge,
        LimitExceeded and BeyondBudget.
        """
        start = self._start(request, key, owner, writer="")
        if key and (present := await self._repeated(start)):
            return present
        await self._accounts.reserve(start)
        return await self._put_start(start) or start

    async def create_and_read(
        self, request: Request, key: str | None, window: Window, *, owner: str = ""
    ) -> Reading:
        """As `create`, and a reader at the beginning, whose process is the writer.

        Without a key nobody else can know the stream, so the provider is asked at once, while
        the start is still on its way to the log: the first token is one append away, not two.
        """
        start = self._start(request, key, owner, writer=self._name)
        tail = self._tail(start.stream_id)
        if key and (present := await self._repeated(start)):
            tail.feed(present)
            return self._reading(tail, 0, window)
        generation = None
        # Held from before the start is in the log: nobody here takes over what is about to begin.
        async with tail.beginning(self._settings.create_patience):
            if self._closed:
                raise LogUnavailable(_ENDING)
            # It is known if somebody here, with the same key, has begun it while we waited.
            if tail.newest is None or await self._repeated(start) is None:
                generation = await self._begin(tail, start, request, window, at_once=not key)
        return self._reading(tail, 0, window, generation=generation)

    async def _begin(
        self, tail: Tail, start: Record, request: Request, window: Window, *, at_once: bool
    ) -> Generation | None:
        """Begin a stream and write it; None if somebody else was first to put its start.

        `at_once` asks the provider before the start is in the log.
        """
        await self._accounts.reserve(start)
        generation = self._generation(tail, request, window) if at_once else None
        try:
            present = await self._put_start(start)
        except BaseException:
            if generation is not None:
                await generation.abandon()
            raise
        tail.feed(present or start)
        if present is not None:
            return None
        generation = generation or self._generation(tail, request, window)
        self._let_write(tail, generation, self._writer(start, seq=1), Transcript.of([start]))
        return generation

    def _start(self, request: Request, key: str | None, owner: str, *, writer: str) -> Record:
        now = time.time()
        reserved = estimate.at_most(request)
        payload = Start(request.model, request.encode(), request.fingerprint, owner, reserved)
        if len(encode_payload(payload)) > _LARGEST_START:
            raise RequestTooLarge
        return Record(
            stream_id=_derived_id(owner, key) if key else secrets.token_urlsafe(_ID_BYTES),
            seq=0,
            payload=payload,
            writer=writer,
            nonce=secrets.token_urlsafe(9),
            at=int(now * 1000),
            expires_at=int(now) + self._settings.stream_ttl,
        )

    async def _repeated(self, start: Record) -> Record | None:
        """The start that this key has made before, if it has; raises KeyReused.

        Also while anything is left of an expired stream of the same key: DynamoDB deletes expired
        records in any order. Position 0 may be free, and what follows it another request's answer.
        """
        newest = await self._log.newest(start.stream_id)
        if newest is None:
            return None
        if _expired(newest):
            raise KeyReused(_EXPIRED_KEY)
        present = newest if newest.seq == 0 else await self._log.at(start.stream_id, 0)
        if present is not None:
            _check_same(start, present)
            await self._accounts.count(start)
        return present

    async def _put_start(self, start: Record) -> Record | None:
        """None if the stream is new; the start that somebody with this key was first to put."""
        present = await append_patiently(self._log, start, self._settings.create_patience)
        if present is not None:
            await self._accounts.release(start)
            _check_same(start, present)
        return present

    # Reading

    async def read(self, stream_id: str, after: int | None, window: Window) -> Reading | None:
        """A reader behind position `after` (None: at the beginning); None if nothing is left.

        Raises StreamNotFound and BadCursor.
        """
        page = await self._log.read(stream_id, after or 0, consistent=True)
        if not page.records:
            newest = await self._log.newest(stream_id) if after else None
            if newest is not None and not _expired(newest):
                raise BadCursor(f"position {after} is beyond the end of this stream")
            raise StreamNotFound
        if _expired(page.records[0]):
            raise StreamNotFound
        if after is not None and page.records[0].terminal:
            return None
        tail = self._tail(stream_id)
        if not page.more:
            tail.feed(*page.records)
        if after is None:
            return self._reading(tail, 0, window, first=page.records)
        metrics.resumed()
        return self._reading(tail, after + 1, window, first=page.records[1:])

    async def owner(self, stream_id: str) -> str:
        """Who has created a stream; raises StreamNotFound."""
        start = await self._log.at(stream_id, 0)
        if start is None or _expired(start):
            raise StreamNotFound
        assert isinstance(start.payload, Start)
        return start.payload.owner

    async def transcript(self, stream_id: str) -> Transcript:
        """A stream as far as it has come; raises StreamNotFound."""
        records = await self._history(stream_id)
        if not records or _expired(records[0]):
            raise StreamNotFound
        return Transcript.of(records)

    async def _history(self, stream_id: str) -> list[Record]:
        records: list[Record] = []
        more = True
        while more:
            page = await self._log.read(stream_id, len(records), consistent=True)
            records += page.records
            more = page.more
        return records

    def _reading(
        self,
        tail: Tail,
        start: int,
        window: Window,
        *,
        first: Sequence[Record] = (),
        generation: Generation | None = None,
    ) -> Reading:
        hand_over_at = self._hand_over_at(window)
        # Behind the handover, so that our own writer's last words still go out.
        until = hand_over_at + self._settings.handoff_margin / 2
        if window.buffered:
            until = min(until, self._clock() + self._settings.buffered_window)
        return Reading(
            self._log,
            tail,
            start,
            first=first,
            take_over=lambda tail: self._claim(tail, window),
            settings=self._settings,
            until=until,
            claim_until=hand_over_at - self._settings.claim_margin,
            leave_at=self._clock() + self._settings.reader_life,
            generation=generation,
        )

    def _hand_over_at(self, window: Window) -> float:
        if window.deadline is None:
            return math.inf
        left = window.deadline - time.time()
        return self._clock() + left - self._settings.handoff_margin

    # Writing

    async def _claim(self, tail: Tail, window: Window) -> Generation | None:
        """Become the writer of a stream that seems to have none.

        None if another process is, or if the log has lost the stream.
        """
        async with tail.claiming:
            records = await self._unclaimed(tail)
            if not records:
                return None
            transcript = Transcript.of(records)
            request, said = Request.decode(transcript.start.request), transcript.partial
            attempt = transcript.attempts + 1
            hopeless = transcript.fruitless >= self._settings.fruitless_attempts
            writer = self._writer(transcript.newest, seq=transcript.newest.seq + 1)
            try:
                how = continued(self._provider, request, said)
                first_word = _GIVEN_UP if hopeless else Claim(attempt, how)
                tail.feed(await writer.append(first_word, self._settings.lease))
            except Superseded as lost:
                tail.feed(lost.record)
                return None
            stream = shortened(tail.stream_id)
            logger.info(first_word.kind, extra={"stream": stream, "attempt": attempt})
            if hopeless:
                tokens = cost(transcript)
                metrics.given_up(_GIVEN_UP.code, tokens)
                await self._accounts.settle(transcript, tokens)
                return None
            # The other half of a handover is none.
            if not is_waiting(transcript.newest):
                metrics.took_over()
            generation = self._generation(
                tail,
                request,
                window,
                said=said,
                attempt=attempt,
                fruitless=transcript.fruitless + 1,
            )
            self._let_write(tail, generation, writer, transcript)
            return generation

    async def _unclaimed(self, tail: Tail) -> Sequence[Record]:
        """All records of a stream, as the log has them now; none if it may not be claimed."""
        known = tail.newest
        # The reader has listened; what counts here is what this process has come to know meanwhile.
        if known is None or tail.free_in(0) > 0:
            return ()
        if not is_waiting(known):
            # Those who come second learn it from this, and not from all of the history.
            page = await self._log.read(tail.stream_id, known.seq + 1, consistent=True)
            tail.feed(*page.records)
            if tail.free_in(0) > 0:
                return ()
        records = await self._history(tail.stream_id)
        if not records or records[-1].seq < known.seq:
            tail.vanished()
            return ()
        tail.feed(*records)
        return () if tail.free_in(0) > 0 else records

    def _writer(self, record: Record, *, seq: int) -> Writer:
        return Writer(
            log=self._log,
            stream_id=record.stream_id,
            name=self._name,
            expires_at=record.expires_at,
            seq=seq,
        )

    def _generation(
        self,
        tail: Tail,
        request: Request,
        window: Window,
        *,
        said: Partial = NOTHING_SAID,
        attempt: int = 1,
        fruitless: int = 0,
    ) -> Generation:
        settings = self._settings
        endurance = Endurance(
            patience=settings.provider_patience,
            attempts=settings.provider_attempts,
            fruitless=settings.fruitless_attempts,
        )
        return Generation(
            ask(
                self._provider,
                request,
                said,
                attempt=attempt,
                endurance=endurance,
                fruitless=fruitless,
            ),
            stream_id=tail.stream_id,
            attempt=attempt,
            publish=tail.feed,
            settings=settings,
            hand_over_at=self._hand_over_at(window),
        )

    def _let_write(
        self, tail: Tail, generation: Generation, writer: Writer, before: Transcript
    ) -> None:
        assert tail.generation is None, "claiming is held, and the stream was free"
        tail.generation = generation
        self._written.add(tail)
        generation.write(
            writer,
            settle=lambda outcome: self._settle(before, outcome),
            on_end=lambda outcome: self._ended(tail, before, outcome),
        )
        if self._closed:
            generation.hand_over()

    async def _settle(self, before: Transcript, outcome: Outcome) -> None:
        if outcome.over:
            await self._accounts.settle(before, cost(before, outcome))

    def _ended(self, tail: Tail, before: Transcript, outcome: Outcome) -> None:
        tail.let_go()
        self._written.discard(tail)
        metrics.generated(outcome, cost(before, outcome) if outcome.over else None)

    # Cancelling

    async def cancel(self, stream_id: str) -> Transcript:
        """End a stream for everybody, unless it has ended; raises StreamNotFound."""
        newest = await self._log.newest(stream_id)
        if newest is None or _expired(newest):
            raise StreamNotFound
        ours = False
        while not newest.terminal:
            writer = self._writer(newest, seq=newest.seq + 1)
            try:
                newest = await writer.append(Cancelled(), self._settings.create_patience)
                ours = True
            except Superseded as lost:
                newest = lost.record
        tail = self._tails.get(stream_id)
        if tail is not None:
            tail.feed(newest)
            if tail.generation is not None:
                await self._stop(tail.generation, ours=ours)
        transcript = await self.transcript(stream_id)
        if ours:
            tokens = cost(transcript)
            metrics.cancelled(tokens)
            await self._accounts.settle(transcript, tokens)
        return transcript

    async def _stop(self, generation: Generation, *, ours: bool) -> None:
        if ours:
            await generation.abandon()
            return
        # It may be about to learn that its end is in the log, unless that has fallen silent.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.create_patience):
                await generation.over()

    # The process

    async def close(self) -> None:
        """Hand over whatever is being written here, so that others go on at once."""
        self._closed = True
        tails = list(self._tails.values())
        for tail in tails:
            tail.close()
        for generation in self._generations():
            generation.hand_over()
        for tail in tails:
            async with tail.claiming:
                pass  # Who was about to write does so now, and hands over at once.
        for generation in self._generations():
            await generation.over()

    def _generations(self) -> list[Generation]:
        return [tail.generation for tail in self._written if tail.generation is not None]

    def _tail(self, stream_id: str) -> Tail:
        tail = self._tails.get(stream_id)
        if tail is None:
            tail = self._tails[stream_id] = Tail(self._log, stream_id, self._settings)
            tail.closed = self._closed
        return tail


def _derived_id(owner: str, key: str) -> str:
    """The stream id that an idempotency key of one owner always gives."""
    digest = hashlib.sha256(f"idempotency-key:{owner}:{key}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:_ID_BYTES]).decode()


def _check_same(start: Record, present: Record) -> None:
    """Raise KeyReused unless a key has come with the same request as before."""
    assert isinstance(start.payload, Start)
    assert isinstance(present.payload, Start)
    if _expired(present):
        raise KeyReused(_EXPIRED_KEY)
    if present.payload.fingerprint != start.payload.fingerprint:
        raise KeyReused(
            "this Idempotency-Key came with another request before: use a new key for a new "
            "request, and repeat a request unchanged"
        )


def _expired(record: Record) -> bool:
    """DynamoDB may delete an expired item days late; for readers it is gone at once."""
    return record.expires_at <= time.time()
