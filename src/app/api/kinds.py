"""The header that tells clients the kinds of events.

An EventSource receives only the kinds to which it listens. A page learns from this header of kinds
that were added after it was written, or after it was loaded.
"""

from collections.abc import Awaitable, Callable

from fastapi import Response

from durable_stream import Event, Registry, Text

HEADER = "Event-Kinds"


def told(events: Registry) -> Callable[[Response], Awaitable[None]]:
    """A dependency that adds the header to every JSON answer of a route.

    The header is a list as RFC 9651 describes it, such as `answer;text, source, done;terminal`.
    """
    kinds = ", ".join(f"{kind}{_about(event)}" for kind, event in events.kinds.items())

    async def tell(response: Response) -> None:
        response.headers[HEADER] = kinds

    return tell


def _about(event: type[Event]) -> str:
    if issubclass(event, Text):
        return ";text"
    return ";terminal" if event.terminal else ""
