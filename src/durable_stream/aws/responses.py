"""HTTP/1.1 responses as an AWS service sends them, from bytes, without I/O (RFC 9112)."""

from collections.abc import Mapping
from dataclasses import dataclass

from durable_stream.aws.exceptions import Garbled

# A page of a query is up to 1 MB of items, and more as JSON.
_MAX_BODY = 32 * 2**20
_MAX_HEAD = 64 * 2**10
_HEAD_END = b"\r\n\r\n"
_LINE_END = b"\r\n"
_SPACE = " \t\n\r\v\f"
# A chunk's size in hexadecimal digits, and extensions that nobody sends.
_MAX_CHUNK_LINE = 256
_LONGEST_NUMBER = 16
_FIRST_FINAL = 200


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response. The names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    keep_alive: bool


@dataclass(frozen=True, slots=True)
class _Head:
    status: int
    headers: Mapping[str, str]
    keep_alive: bool
    # None for a chunked body.
    length: int | None


class ResponseDecoder:
    """Decodes one response to a POST; bytes may come in any pieces.

    A body has a length or is chunked. One that ends with the connection is refused: it cannot be
    told from a body that was cut.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._chunks = bytearray()
        self._last_chunk_seen = False
        self._done = False

    def feed(self, data: bytes) -> Response | None:
        """The response, once it is whole; raises Garbled."""
        if self._done:
            raise Garbled("bytes behind the end of a response")
        self._buffer += data
        if self._head is None:
            self._head = self._read_head()
            if self._head is None:
                return None
        body = self._read_body(self._head.length)
        if body is None:
            return None
        if self._buffer:
            raise Garbled("bytes behind the end of a response")
        self._done = True
        return Response(self._head.status, self._head.headers, body, self._head.keep_alive)

    def _read_head(self) -> _Head | None:
        """The head of the final response; an interim one is skipped."""
        while True:
            end = self._buffer.find(_HEAD_END, 0, _MAX_HEAD)
            if end < 0:
                if len(self._buffer) >= _MAX_HEAD:
                    raise Garbled("a head that does not end")
                return None
            head = _parse_head(bytes(self._buffer[:end]))
            del self._buffer[: end + len(_HEAD_END)]
            if head.status >= _FIRST_FINAL:
                return head

    def _read_body(self, length: int | None) -> bytes | None:
        if length is None:
            return self._read_chunks()
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _read_chunks(self) -> bytes | None:
        while not self._last_chunk_seen:
            end = self._buffer.find(_LINE_END, 0, _MAX_CHUNK_LINE)
            if end < 0:
                if len(self._buffer) >= _MAX_CHUNK_LINE:
                    raise Garbled("a chunk without a size")
                return None
            size = _number(bytes(self._buffer[:end]).partition(b";")[0].strip(), 16)
            if len(self._chunks) + size > _MAX_BODY:
                raise Garbled("a body that is too long")
            begin = end + len(_LINE_END)
            if size == 0:
                del self._buffer[:begin]
                self._last_chunk_seen = True
                break
            following = begin + size + len(_LINE_END)
            if len(self._buffer) < following:
                return None
            if self._buffer[begin + size : following] != _LINE_END:
                raise Garbled("a chunk of another size than it says")
            self._chunks += self._buffer[begin : begin + size]
            del self._buffer[:following]
        return bytes(self._chunks) if self._skip_trailers() else None

    def _skip_trailers(self) -> bool:
        """True once the empty line behind the trailers has come."""
        while True:
            end = self._buffer.find(_LINE_END, 0, _MAX_HEAD)
            if end < 0:
                if len(self._buffer) >= _MAX_HEAD:
                    raise Garbled("trailers that do not end")
                return False
            del self._buffer[: end + len(_LINE_END)]
            if end == 0:
                return True


def _parse_head(head: bytes) -> _Head:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise Garbled("no HTTP response")
    status = rest[:3]
    if len(status) != 3 or not status.isdecimal() or rest[3:4] not in ("", " "):  # noqa: PLR2004
        raise Garbled("no HTTP status")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip(_SPACE):
            raise Garbled("a header without a name")
        key, text = name.lower(), value.strip(" \t")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    connection = headers.get("connection", "").lower()
    keep_alive = "close" not in connection
    if version == "HTTP/1.0":
        keep_alive = keep_alive and "keep-alive" in connection
    return _Head(int(status), headers, keep_alive, _length(headers, int(status)))


def _length(headers: Mapping[str, str], status: int) -> int | None:
    if status < _FIRST_FINAL:
        return 0
    encoding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if encoding is not None:
        if encoding.lower() != "chunked" or length is not None:
            raise Garbled("a body in an unknown transfer encoding")
        return None
    if length is None:
        raise Garbled("a body without a length")
    number = _number(length.encode("latin-1"), 10)
    if number > _MAX_BODY:
        raise Garbled("a body that is too long")
    return number


def _number(digits: bytes, base: int) -> int:
    """A number of digits only: `int` would also take signs, prefixes, underscores and spaces."""
    known = b"0123456789" if base == 10 else b"0123456789abcdefABCDEF"  # noqa: PLR2004
    if not digits or len(digits) > _LONGEST_NUMBER or digits.strip(known):
        raise Garbled("a length that is no number")
    return int(digits, base)
