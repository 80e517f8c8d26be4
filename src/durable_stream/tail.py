"""The newest records of one stream, in this process's memory.

All readers of a stream in one process share one tail. The local writer feeds it with every record
that has become durable; where there is none, a poller feeds it from the store. It holds a window
of records: a reader further behind reads from the store until the window begins where it is.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from durable_stream.records import Record
from durable_stream.silence import Silence

if TYPE_CHECKING:
    from durable_stream.exceptions import StoreError


class Tail:
    """A window of so many records, and the news of it.

    `trouble` is the error that ended the polling, None while it works. A `closed` tail sends its
    readers away: the process ends.
    """

    def __init__(self, window: int, silence: Silence) -> None:
        self.newest: Record | None = None
        self.silence = silence
        self.trouble: StoreError | None = None
        self.closed = False
        self._window: deque[Record] = deque(maxlen=window)
        self._news = asyncio.Event()

    def feed(self, *records: Record) -> None:
        """Take an answer of the store: add its records, unless they are known."""
        newest = self.newest
        news = [each for each in records if newest is None or each.seq > newest.seq]
        self.silence.answered(news[-1] if news else None, first=newest is None)
        for record in news:
            self._add(record)
        if news:
            self.announce()

    def _add(self, record: Record) -> None:
        if self.newest is not None and record.seq > self.newest.seq + 1:
            self._window.clear()
        self._window.append(record)
        self.newest = record

    def vanished(self) -> None:
        """Forget a stream that the store has lost: its readers look for themselves, and leave."""
        self.newest = None
        self._window.clear()
        self.announce()

    def since(self, seq: int) -> Sequence[Record] | None:
        """The known records from `seq` on; None if the store must be asked for the first."""
        if self.newest is None or seq < self._window[0].seq:
            return None
        return list(islice(self._window, seq - self._window[0].seq, None))

    async def changed(self, seq: int, seconds: float) -> bool:
        """Wait so many seconds for news behind `seq`; False if there is none."""
        if self.closed or self.trouble is not None or self.since(seq) != []:
            return True
        try:
            async with asyncio.timeout(max(0, seconds)):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    def announce(self) -> None:
        """Wake the readers: something besides a record has changed."""
        self._news.set()
        self._news = asyncio.Event()

    def close(self) -> None:
        """Send the readers away."""
        self.closed = True
        self.announce()
