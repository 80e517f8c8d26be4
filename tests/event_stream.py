"""The event stream format of the HTML specification (9.2.6): bytes in, messages out.

A line ends with CR, LF or both, and with nothing else that Python takes for a line's end.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

DEFAULT_RETRY_MS = 3000

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class Message:
    """One event as an EventSource dispatches it; `id` may be that of an earlier one."""

    id: str
    name: str
    data: str


class Decoder:
    """Interprets one answer; a block that its end cuts short is never dispatched.

    `last_event_id` and `retry_ms` are the event source's own, as the answer changes them: the id
    at the end of a block, the other as soon as its line is read.
    """

    def __init__(self, *, last_event_id: str = "", retry_ms: int = DEFAULT_RETRY_MS) -> None:
        self.last_event_id = last_event_id
        self.retry_ms = retry_ms
        self._begun = False
        self._line = b""
        self._ended_in_cr = False
        self._name = ""
        self._data: list[str] = []
        # Not the event source's: the specification has it begin empty with each answer.
        self._id = ""

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that some more bytes complete."""
        for line in self._lines(data):
            message = self._take(line)
            if message is not None:
                yield message

    def _lines(self, data: bytes) -> Iterator[str]:
        if self._ended_in_cr:
            data = data.removeprefix(b"\n")
        self._ended_in_cr = data.endswith(b"\r")
        *lines, self._line = _LINE_END.split(self._line + data)
        for line in lines:
            # No character is cut in two: the ends of lines are ASCII.
            text = line.decode(errors="replace")
            yield text if self._begun else text.removeprefix(_BYTE_ORDER_MARK)
            self._begun = True

    def _take(self, line: str) -> Message | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value)
            case _:
                pass  # A comment, or of no meaning.
        return None

    def _dispatch(self) -> Message | None:
        self.last_event_id = self._id
        name, data = self._name, self._data
        self._name, self._data = "", []
        return Message(self._id, name or "message", "\n".join(data)) if data else None
