"""The client for Bedrock, and the means to end a call of its that waits.

boto3 waits for an answer without a way to call it off, and a model may take long before its
first word. So the connections of this client tell which call uses them, and a call is cut at its
socket: whoever reads there meets the end of the stream, and Bedrock stops generating.
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

# More streams than this at once in one sandbox still work: connections are then not kept.
_KEPT_CONNECTIONS = 64
# The watch over the deltas gives up first; this ends a read that nobody watches any more.
_READ_SLACK = 5.0

# One for all: it is held for microseconds. A connection that goes back to the pool may serve
# another call at any moment, so "is it still this call's" and "cut it" must be one step.
_lock = threading.Lock()


ServiceEvent = Mapping[str, Any]


class EventStream(Protocol):
    """What ConverseStream answers with: an iterator that blocks, and its end."""

    def __iter__(self) -> Iterator[ServiceEvent]: ...

    def close(self) -> None: ...


class Client(Protocol):
    """What is used of boto3's client for Bedrock."""

    def converse_stream(self, **arguments: Any) -> Mapping[str, EventStream]: ...

    def close(self) -> None: ...


class Call:
    """One call under way, which may be cut from any thread."""

    def __init__(self) -> None:
        self.is_cut = False
        self._connection: _Held | None = None

    def cut(self) -> None:
        """End the call's connection now, or as soon as it has one."""
        with _lock:
            self.is_cut = True
            if self._connection is not None and self._connection.used_by is self:
                _shut_down(self._connection.sock_in_use)

    def uses(self, connection: "_Held", sock: object) -> None:
        """Take note of the connection that the call was given."""
        with _lock:
            connection.used_by, connection.sock_in_use = self, sock
            self._connection = connection
            if self.is_cut:
                _shut_down(sock)

    def ended(self) -> None:
        """Let go of the connection: it is back in the pool, or closed."""
        with _lock:
            self._connection = None


current_call: ContextVar[Call] = ContextVar("current_call")


class _Held:
    """Tells the current call that it was given this connection."""

    used_by: Call | None = None
    # urllib3 drops `sock` where the server announces that it will close; the answer still comes.
    sock_in_use: object = None
    sock: Any

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send the request; the connection exists from here on."""
        super().request(*args, **kwargs)  # type: ignore[misc]
        current_call.get().uses(self, self.sock)


class _Connection(_Held, AWSHTTPConnection):  # type: ignore[misc]
    pass


class _TLSConnection(_Held, AWSHTTPSConnection):  # type: ignore[misc]
    pass


class _Pool(AWSHTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(AWSHTTPSConnectionPool):
    ConnectionCls = _TLSConnection


def connect(deadlines: Deadlines) -> Client:
    """A client that sends a request once, with region and credentials from the usual chain.

    It is of boto3's default session: what that has read for the log's client is not read again,
    which saves nine tenths of the time. It is not to be made by two threads at once.
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
        # Lambda brings its own boto3, and this is not part of what boto3 promises.
        logger.warning("this botocore hides its connections: a call that is cut ends late")
    return client


def _shut_down(sock: object) -> None:
    """Make both ends see the end of the stream.

    Not by SSLSocket's own method: it takes TLS away from under a thread that is reading.
    """
    if isinstance(sock, socket.socket):
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
