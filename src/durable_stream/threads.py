"""Threads: calling a blocking function without blocking the event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call the function in a thread of its own, in this context.

    A caller that is cancelled abandons the thread, which ends with its function or the process. A
    pool would not do: threads that are abandoned would use it up.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Callable[[], T]] = loop.create_future()
    context = copy_context()

    def call() -> None:
        try:
            result = context.run(function, *args, **kwargs)
        except SystemExit as error:
            # As it is, it would end the process with all its streams.
            tell(_raising(RuntimeError(f"the function called sys.exit({error.code})")))
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            tell(_raising(error))
        else:
            tell(lambda: result)

    def tell(told: Callable[[], T]) -> None:
        with suppress(RuntimeError):  # The loop is closed: the process ends.
            loop.call_soon_threadsafe(settle, told)

    def settle(told: Callable[[], T]) -> None:
        if not outcome.done():
            outcome.set_result(told)

    threading.Thread(target=call, name=f"step {function!r}", daemon=True).start()
    return (await outcome)()


def _raising(error: BaseException) -> Callable[[], Any]:
    def raise_it() -> NoReturn:
        raise error

    return raise_it
