"""From a thread that blocks to the event loop: reading one ConverseStream call.

    thread       converse_stream() ──▶ event ──▶ event ──▶ … end, or an exception
                                         │ hand-over
    event loop                           ▼  events

A thread for every call, and no pool: a call holds its thread for as long as the model talks, so
a pool would either be as large, or make streams wait for each other. The thread is a daemon, so
a process that ends does not wait for a model.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable

from app.models.bedrock.connections import Call, EventStream, ServiceEvent, current_call

_What = ServiceEvent | Exception | None


class _Handover:
    """Events from a thread to the event loop; an exception or None is the last.

    Without a bound: an answer has one, and a thread that waited here could not be ended.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived: deque[_What] = deque()
        self._some = asyncio.Event()

    def put(self, what: _What) -> None:
        """Called in the thread."""
        self._arrived.append(what)
        # Waking the loop is what costs. Whoever takes the one before this will see this one, too.
        if len(self._arrived) == 1:
            # A loop that is closed has nobody left to tell.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._some.set)

    async def get(self) -> _What:
        while not self._arrived:
            self._some.clear()
            await self._some.wait()
        return self._arrived.popleft()


async def events_of(converse: Callable[[], EventStream]) -> AsyncGenerator[ServiceEvent]:
    """Yield the events as they come; raises what `converse` or its stream raises.

    When it is closed, the connection is cut at once, even if the thread waits for an answer.
    """
    handover, call = _Handover(), Call()
    # In a copy of the context, so that what is logged there carries the request's id.
    context = contextvars.copy_context()
    arguments = (_read, converse, call, handover.put)
    threading.Thread(target=context.run, args=arguments, name="bedrock", daemon=True).start()
    try:
        while (what := await handover.get()) is not None:
            if isinstance(what, Exception):
                raise what
            yield what
    finally:
        call.cut()


def _read(converse: Callable[[], EventStream], call: Call, tell: Callable[[_What], None]) -> None:
    current_call.set(call)
    failed: Exception | None = None
    try:
        with contextlib.closing(converse()) as stream:
            for event in stream:
                if call.is_cut:
                    break
                tell(event)
    except Exception as error:  # noqa: BLE001 - it is raised on the other side
        failed = error
    call.ended()
    tell(failed)
