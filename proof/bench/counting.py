"""A proxy before DynamoDB that notes each call and its time."""

import re
import select
import socket
import socketserver
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from urllib.parse import urlsplit

_PIECE = 64 * 1024
# A client sends the head of a request in one piece, so none is cut in two.
_CALL = re.compile(rb"\r\nX-Amz-Target: *DynamoDB_\d+\.(\w+)\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls through the proxy at `url`: time (`time.perf_counter`) and operation."""

    url: str
    made: list[tuple[float, str]] = field(default_factory=list)

    def count(self, operation: str, since: float = 0, until: float = float("inf")) -> int:
        """The number of calls of an operation between two times."""
        return sum(name == operation and since <= at < until for at, name in self.made)


@contextmanager
def counted(url: str) -> Iterator[Calls]:
    """A proxy to the DynamoDB at `url`, for as long as the block runs."""
    upstream = urlsplit(url)
    assert upstream.hostname is not None
    assert upstream.port is not None
    with _Proxy(upstream.hostname, upstream.port) as proxy:
        thread = Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy.calls
        finally:
            proxy.shutdown()
            thread.join()


class _Proxy(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self.upstream = (host, port)
        self.calls = Calls("http://{}:{}".format(*self.server_address))


class _Relay(socketserver.BaseRequestHandler):
    server: _Proxy

    def handle(self) -> None:
        client: socket.socket = self.request
        with socket.create_connection(self.server.upstream) as upstream:
            other = {client: upstream, upstream: client}
            for end in other:
                # A head and a body that come apart would wait for each other's acknowledgement.
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                for end in select.select(list(other), [], [])[0]:
                    data = end.recv(_PIECE)
                    if not data:
                        return
                    if end is client:
                        self._note(data)
                    other[end].sendall(data)

    def _note(self, data: bytes) -> None:
        now = time.perf_counter()
        self.server.calls.made.extend((now, name.decode()) for name in _CALL.findall(data))
