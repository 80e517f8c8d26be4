"""Reads one ConverseStream call in a thread, and passes its events to the event loop.

    thread       converse_stream() ──▶ event ──▶ event ──▶ … end, or an exception
                                         │ queue
    event loop                           ▼  events

Each call has its own thread, without a pool: a call occupies its thread for the whole answer, so a
pool would either be as large, or make streams wait for each other. The thread is a daemon, so that
a process can end while a model answers.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable

from app.models.bedrock.connections import Call, EventStream, ServiceEvent, current_call

_Item = ServiceEvent | Exception | None


class _Queue:
    """Events from a thread to the event loop; an exception or None is the last.

    It is unbounded: an answer has a bound, and a thread that waited here could not be stopped.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived: deque[_Item] = deque()
        self._some = asyncio.Event()

    def put(self, item: _Item) -> None:
        """Add an item; called in the thread."""
        self._arrived.append(item)
        # Waking the loop is expensive. A reader of the item before this one sees this one as well.
        if len(self._arrived) == 1:
            # The loop may be closed.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._some.set)

    async def get(self) -> _Item:
        while not self._arrived:
            self._some.clear()
            await self._some.wait()
        return self._arrived.popleft()


async def events_of(converse: Callable[[], EventStream]) -> AsyncGenerator[ServiceEvent]:
    """Yield the events; raises the exceptions of `converse` and its stream.

    Closing this cuts the connection at once, even if the thread is waiting for an answer.
    """
    queue, call = _Queue(), Call()
    # In a copy of the context, so that its log lines carry the request's id.
    context = contextvars.copy_context()
    arguments = (_read, converse, call, queue.put)
    threading.Thread(target=context.run, args=arguments, name="bedrock", daemon=True).start()
    try:
        while (item := await queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        call.cut()


def _read(converse: Callable[[], EventStream], call: Call, put: Callable[[_Item], None]) -> None:
    current_call.set(call)
    failed: Exception | None = None
    try:
        with contextlib.closing(converse()) as stream:
            for event in stream:
                if call.is_cut:
                    break
                put(event)
    except Exception as error:  # noqa: BLE001 - `events_of` raises it
        failed = error
    call.ended()
    put(failed)
