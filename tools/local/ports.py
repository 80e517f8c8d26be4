"""A port for a server that must be told where to listen."""

import secrets
import socket

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
