"""From a thread that blocks to the event loop: reading one ConverseStream call.

    thread       converse_stream() ──▶ event ──▶ event ──▶ … end, or an exception
                                         │ call_soon_threadsafe
    event loop                           ▼ queue ──▶ events

A thread for every call, and no pool: a call holds its thread for as long as the model talks, so
a pool would either be as large, or make streams wait for each other. The thread is a daemon, so
a process that ends does not wait for a model.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable

from app.providers.bedrock.connections import Call, Event, EventStream, current_call


async def events_of(converse: Callable[[], EventStream]) -> AsyncGenerator[Event]:
    """Yield the events as they come; raises what `converse` or its stream raises.

    When it is closed, the connection is cut at once, even if the thread waits for an answer.
    """
    loop = asyncio.get_running_loop()
    # Without a bound: an answer has one, and a thread that waits here could not be ended.
    arrived: asyncio.Queue[Event | Exception | None] = asyncio.Queue()
    call = Call()

    def tell(what: Event | Exception | None) -> None:
        # A loop that is closed has no reader left to tell.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(arrived.put_nowait, what)

    def read() -> None:
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

    # In a copy of the context, so that what is logged there carries the request's id.
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(read,), name="bedrock", daemon=True).start()
    try:
        while (what := await arrived.get()) is not None:
            if isinstance(what, Exception):
                raise what
            yield what
    finally:
        call.cut()
