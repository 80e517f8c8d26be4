"""Decodes responses of the Lambda Runtime API, without I/O: bytes in, values out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lambda_stream.exceptions import GarbledResponse

# The Runtime API is trusted, but a parser without a bound turns any bug there into a leak.
MAX_HEAD = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Response:
    """A response of the Runtime API; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def keep_alive(self) -> bool:
        """True if another request may use the same connection."""
        return self.headers.get("connection", "").lower() != "close"


class ResponseDecoder:
    """Assembles one HTTP/1.1 response from the pieces that a socket delivers.

    A body has a Content-Length or is chunked. The Runtime API is a Go server, which sends every
    event above two kilobytes in chunks.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: tuple[int, dict[str, str]] | None = None
        self._body = bytearray()

    @property
    def started(self) -> bool:
        """True if any byte of the response has arrived."""
        return bool(self._buffer) or self._head is not None

    def feed(self, data: bytes) -> Response | None:
        """Add received bytes; returns the response once it is complete. Raises GarbledResponse."""
        self._buffer += data
        if self._head is None:
            self._head = self._take_head()
            if self._head is None:
                return None
        status, headers = self._head
        chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        complete = self._take_chunks() if chunked else self._take_length(headers)
        return Response(status, headers, bytes(self._body)) if complete else None

    def _take_head(self) -> tuple[int, dict[str, str]] | None:
        end = self._find(b"\r\n\r\n", "headers")
        if end < 0:
            return None
        # HTTP says Latin-1, but the context headers hold JSON, which is UTF-8.
        status_line, *lines = self._buffer[:end].decode(errors="replace").split("\r\n")
        del self._buffer[: end + 4]
        if not re.match(r"HTTP/1\.[01] [0-9]{3}( |$)", status_line):
            raise _garbled(f"a status line {status_line[:80]!r}")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return int(status_line[9:12]), headers

    def _take_length(self, headers: Mapping[str, str]) -> bool:
        length = headers.get("content-length", "0")
        if not re.fullmatch("[0-9]{1,18}", length):
            raise _garbled(f"a Content-Length of {length[:80]!r}")
        if len(self._buffer) < int(length):
            return False
        self._body += self._buffer[: int(length)]
        return True

    def _take_chunks(self) -> bool:
        while True:
            line_end = self._find(b"\r\n", "a chunk size")
            if line_end < 0:
                return False
            size = _chunk_size(bytes(self._buffer[:line_end]))
            if size == 0:
                # Trailers are ignored; the message ends with the first empty line.
                return self._find(b"\r\n\r\n", "trailers", line_end) >= 0
            end = line_end + 2 + size + 2
            if len(self._buffer) < end:
                return False
            self._body += self._buffer[line_end + 2 : end - 2]
            del self._buffer[:end]

    def _find(self, end: bytes, what: str, start: int = 0) -> int:
        """Return the position of `end`, or -1 if it has not arrived yet."""
        found = self._buffer.find(end, start)
        if found < 0 and len(self._buffer) > MAX_HEAD:
            raise _garbled(f"{what} without an end")
        return found


def _chunk_size(line: bytes) -> int:
    size = line.partition(b";")[0].strip()
    if not re.fullmatch(b"[0-9a-fA-F]+", size):
        raise _garbled(f"a chunk size of {size[:80]!r}")
    return int(size, 16)


def _garbled(what: str) -> GarbledResponse:
    return GarbledResponse(f"the Runtime API sent {what}")
