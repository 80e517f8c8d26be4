"""A port for a server that must be told where to listen."""

import secrets
import socket

LOOPBACK = "127.0.0.1"

# Below the ephemeral ports, so that no outgoing connection takes the port before the server does.
_FIRST, _COUNT = 20_000, 12_000


def free_port(host: str = LOOPBACK) -> int:
    """Return a port of this address that is not in use."""
    while True:
        port = _FIRST + secrets.randbelow(_COUNT)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        return port
