"""Ports of this machine: one for a server that is told where to listen, and one that refuses."""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager

# Below those that systems hand out by themselves: a port that was free a moment ago is not some
# connection's end by the time at which the server takes it.
_FIRST, _COUNT = 20_000, 12_000


def free_port(host: str = "127.0.0.1") -> int:
    """A port of this address that nobody has."""
    while True:
        port = _FIRST + secrets.randbelow(_COUNT)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        return port


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port that refuses whoever connects, and that nobody else gets meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
