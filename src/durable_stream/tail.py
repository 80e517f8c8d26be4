"""The newest records of one stream, as far as this process knows them.

All readers of a stream in one process share one tail, so that fifty readers poll the log as often
as one does. It is fed from two sources: by the local writer from memory, with every record that
has become durable, and else by a task that polls the log. It holds a window of records; whoever
is further behind reads from the log until the window begins where they are.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from app.exceptions import LogError, LogUnavailable
from app.settings import Settings
from durable_stream.dynamodb import DynamoDBLog
from durable_stream.history import is_waiting
from durable_stream.records import Heartbeat, Record

if TYPE_CHECKING:
    from durable_stream.writing import Generation

_WINDOW = 512
_SLOWER = 1.6
# So many pauses of a poll may lie between two answers of a log that is well.
_GAP = 1.5


class Tail:
    """What is known of a stream's end, and who writes it if that is this process.

    `claiming` must be held while deciding to write the stream, so that one process does not
    compete with itself.
    """

    def __init__(self, log: DynamoDBLog, stream_id: str, settings: Settings) -> None:
        self.stream_id = stream_id
        self.newest: Record | None = None
        self.generation: Generation | None = None
        self.trouble: LogError | None = None
        self.closed = False
        self.claiming = asyncio.Lock()
        self._log = log
        self._settings = settings
        self._window: deque[Record] = deque(maxlen=_WINDOW)
        self._clock = asyncio.get_running_loop().time
        self._answered_at = self._clock()
        # Of the writer's silence, in seconds, what was before this process heard its last record,
        # and what it has heard since.
        self._unheard = 0.0
        self._heard = 0.0
        self._jitter = 0.0
        self._news = asyncio.Event()
        self._readers = 0
        self._polling: asyncio.Task[None] | None = None

    # What is known

    def feed(self, *records: Record) -> None:
        """Take note of an answer of the log: of its records, unless they are known."""
        gap = min(self._since_answer(), self._longest_gap())
        self._answered_at = self._clock()
        newest = self.newest
        news = [each for each in records if newest is None or each.seq > newest.seq]
        if not news:
            self._heard += gap
            return
        for record in news:
            self._take(record)
        self._heard, self._unheard = 0.0, _age(news[-1])
        if newest is not None:
            # It was not there at the last answer, whatever its writer's clock says.
            self._unheard = min(self._unheard, gap)
        # Drawn for each silence: those who have heard the same do not all act on it at once.
        self._jitter = random.uniform(0, self._settings.claim_jitter)  # noqa: S311
        self._announce()

    def _take(self, record: Record) -> None:
        if self.newest is not None and record.seq > self.newest.seq + 1:
            self._window.clear()
        self._window.append(record)
        self.newest = record

    def vanished(self) -> None:
        """Forget a stream that the log has lost: its readers look for themselves, and leave."""
        self.newest = None
        self._window.clear()
        self._announce()

    def since(self, seq: int) -> Sequence[Record] | None:
        """The known records from `seq` on; None if the log must be asked for the first of them."""
        if self.newest is None or seq < self._window[0].seq:
            return None
        return list(islice(self._window, seq - self._window[0].seq, None))

    async def changed(self, seq: int, seconds: float) -> bool:
        """Whether there is, within that time, news for a reader that waits for `seq`."""
        if self.closed or self.trouble is not None or self.since(seq) != []:
            return True
        try:
            async with asyncio.timeout(max(0, seconds)):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    def free_in(self, listening: float) -> float:
        """Seconds until the stream may be taken over, if nothing is heard until then.

        A writer that cannot append because the log is silent is not dead. So of a silence counts
        what the log has answered through, and a moment of what it has not. The age that a record
        has by its writer's clock is believed only for what this process cannot have heard, and so
        many seconds of `listening` are asked for all the same: the record may have come late, and
        the clocks may disagree. None of this decides anything but when to try: the log decides who
        wins.
        """
        if self.closed or self.generation is not None:
            return float("inf")
        if self.newest is None or self.newest.terminal:
            return float("inf")
        if is_waiting(self.newest):
            return 0
        unanswered = self._since_answer()
        if unanswered > self._longest_gap() and self._is_polling():
            return self._longest_gap()  # Then ask again: nothing counts before the next answer.
        silence = max(self._settings.lease - self._unheard, listening)
        return max(0, silence + self._jitter - self._heard - unanswered)

    def _since_answer(self) -> float:
        return self._clock() - self._answered_at

    def _longest_gap(self) -> float:
        """How long after an answer of the log it is not yet taken to be silent itself."""
        return _GAP * self._settings.poll_interval_idle

    def let_go(self) -> None:
        """The local writer is gone: whoever waits must look at the lease again."""
        self.generation = None
        self._announce()

    def close(self) -> None:
        """Send the readers away: this process ends, and must not take the stream over again."""
        self.closed = True
        self._announce()

    # Who begins

    @asynccontextmanager
    async def beginning(self, patience: float) -> AsyncIterator[None]:
        """Hold `claiming`; raises LogUnavailable if others hold it for `patience` seconds.

        Readers leave the stream to who holds it, so they are told when it is let go: what was to
        begin may have failed.
        """
        try:
            async with asyncio.timeout(patience):
                await self.claiming.acquire()
        except TimeoutError as error:
            raise LogUnavailable(f"the stream has not begun within {patience:.1f} s") from error
        try:
            yield
        finally:
            self.claiming.release()
            self._announce()

    # Who listens

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Keep this tail up to date while the block runs."""
        self._readers += 1
        if self._polling is None or self._polling.done():
            self.trouble = None
            self._polling = asyncio.create_task(self._poll())
        try:
            yield
        finally:
            self._readers -= 1
            if self._readers == 0 and self._polling is not None:
                self._polling.cancel()
                self._polling = None

    def _is_polling(self) -> bool:
        """Whether an answer may come; where polling has broken, a reader must look for itself."""
        return self._polling is not None and not self._polling.done()

    def _announce(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _poll(self) -> None:
        try:
            await self._poll_until_terminal()
        except LogError as error:
            self.trouble = error
            self._announce()

    async def _poll_until_terminal(self) -> None:
        settings = self._settings
        pause = settings.poll_interval
        answered_at = self._clock()
        while self.newest is None or not self.newest.terminal:
            await asyncio.sleep(pause)
            if self.generation is not None:
                await self.generation.over()
                answered_at = self._clock()
                continue
            if self.newest is None:
                continue
            try:
                spoken = await self._poll_once(self.newest.seq + 1)
            except LogUnavailable:
                if self._clock() - answered_at > settings.log_patience:
                    raise
                spoken = False
            else:
                answered_at = self._clock()
            slower = min(pause * _SLOWER, settings.poll_interval_idle)
            pause = settings.poll_interval if spoken else slower

    async def _poll_once(self, start: int) -> bool:
        """Whether the writer has said anything but that it lives."""
        page = await self._log.read(self.stream_id, start, consistent=False)
        self.feed(*page.records)
        return any(not isinstance(record.payload, Heartbeat) for record in page.records)


def _age(record: Record) -> float:
    """How old a record is by its writer's clock and ours, in seconds."""
    return max(0.0, time.time() - record.at / 1000)
