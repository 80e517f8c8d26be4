"""Text of several events, put together again."""

from collections.abc import Iterable

from durable_stream.events import Event, Text


def joined(events: Iterable[Event], kind: type[Text]) -> str:
    """The text of the events of one class, as text that has a UTF-8 form.

    A producer may emit half a surrogate pair, and the other half in its next event.
    """
    return mended("".join(event.text for event in events if isinstance(event, kind)))


def mended(text: str) -> str:
    """The text in a form that UTF-8 can encode.

    Two halves of a surrogate pair become one character, and a single half becomes U+FFFD.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
