"""The client for Bedrock, with calls that can be cut.

boto3 cannot cancel a call that waits for an answer, and a model may take long before its first
word. So the connections of this client record which call uses them, and a call is cut at its
socket: the blocked read sees the end of the stream, and Bedrock stops generating.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

import boto3
from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from botocore.config import Config

from app.log import logger
from app.models.deadlines import Deadlines

# More streams at once in one sandbox also work; their connections are then not kept.
_KEPT_CONNECTIONS = 64
# The deadlines for deltas come first; this ends a read that is no longer timed.
_READ_SLACK = 5.0

# One lock for all calls, held for microseconds. A connection that returns to the pool may serve
# another call at any moment, so checking its call and cutting it must be one step.
_lock = threading.Lock()


ServiceEvent = Mapping[str, Any]


class EventStream(Protocol):
    """The answer of ConverseStream: an iterator that blocks."""

    def __iter__(self) -> Iterator[ServiceEvent]: ...

    def close(self) -> None: ...


class Client(Protocol):
    """The part of boto3's Bedrock client that is used here."""

    def converse_stream(self, **arguments: Any) -> Mapping[str, EventStream]: ...

    def close(self) -> None: ...


class Call:
    """One call under way, which may be cut from any thread."""

    def __init__(self) -> None:
        self.is_cut = False
        self._connection: _TrackedConnection | None = None

    def cut(self) -> None:
        """End the call's connection now, or as soon as it has one."""
        with _lock:
            self.is_cut = True
            if self._connection is not None and self._connection.used_by is self:
                _shut_down(self._connection.sock_in_use)

    def uses(self, connection: "_TrackedConnection", sock: object) -> None:
        """Note the connection of this call."""
        with _lock:
            connection.used_by, connection.sock_in_use = self, sock
            self._connection = connection
            if self.is_cut:
                _shut_down(sock)

    def ended(self) -> None:
        """Forget the connection: it is back in the pool, or closed."""
        with _lock:
            self._connection = None


current_call: ContextVar[Call] = ContextVar("current_call")


class _TrackedConnection:
    """Reports itself to the call that uses it."""

    used_by: Call | None = None
    # urllib3 drops `sock` where the server announces that it will close; the answer still follows.
    sock_in_use: object = None
    sock: Any

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send the request; the connection exists from here on."""
        super().request(*args, **kwargs)  # type: ignore[misc]
        current_call.get().uses(self, self.sock)


class _Connection(_TrackedConnection, AWSHTTPConnection):  # type: ignore[misc]
    pass


class _TLSConnection(_TrackedConnection, AWSHTTPSConnection):  # type: ignore[misc]
    pass


class _Pool(AWSHTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(AWSHTTPSConnectionPool):
    ConnectionCls = _TLSConnection


def connect(deadlines: Deadlines) -> Client:
    """A client that sends a request once, with region and credentials from the usual chain.

    It belongs to boto3's default session, so two threads must not call this at once.
    """
    client: Client = boto3.client(
        "bedrock-runtime",
        config=Config(
            connect_timeout=deadlines.connect,
            read_timeout=max(deadlines.first, deadlines.idle) + _READ_SLACK,
            retries={"mode": "standard", "total_max_attempts": 1},
            max_pool_connections=_KEPT_CONNECTIONS,
            parameter_validation=False,
            tcp_keepalive=True,
        ),
    )
    try:
        session = client._endpoint.http_session  # type: ignore[attr-defined]  # noqa: SLF001
        session._pool_classes_by_scheme.update(http=_Pool, https=_TLSPool)  # noqa: SLF001
    except AttributeError:
        # Lambda brings its own boto3, and this is not part of its public interface.
        logger.warning("this botocore hides its connections: a call that is cut ends late")
    return client


def _shut_down(sock: object) -> None:
    """Make both ends see the end of the stream.

    SSLSocket's own method would remove TLS while a thread is reading.
    """
    if isinstance(sock, socket.socket):
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
