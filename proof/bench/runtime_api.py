"""A Runtime API for one sandbox: as little of it as a measurement needs, and as fast as may be.

It reads a runtime's answer as raw bytes and looks at them afterwards, so that a slow reader is
never part of the measurement. A plain HTTP server's answer is read by the same function.
"""

import json
import queue
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase, BytesIO
from threading import Thread
from typing import Any

# Longer than any measurement here takes: then something is broken, and the run ends.
PATIENCE = 60.0

_PIECE = 256 * 1024
_NO_MORE = b""
_LAST_CHUNK = b"0\r\n\r\n"
_PRELUDE_END = bytes(8)
_FUNCTION_TIMEOUT = 900


@dataclass(frozen=True, slots=True)
class Answer:
    """A response's body as it came: raw pieces, chunk sizes included, each with its time.

    Times are `time.perf_counter` seconds.
    """

    pieces: Sequence[tuple[float, bytes]]

    @property
    def body(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)

    @property
    def content(self) -> bytes:
        """The body that the function has answered: no chunk sizes, and no prelude."""
        source, sent = BytesIO(self.body), bytearray()
        while size := int(source.readline(), 16):
            sent += source.read(size)
            source.readline()
        return bytes(sent.partition(_PRELUDE_END)[2])

    def time_of(self, mark: bytes) -> float:
        """The time when the first `mark` was complete; raises ValueError if none was."""
        seen = bytearray()
        for at, piece in self.pieces:
            seen += piece
            if mark in seen:
                return at
        raise ValueError(f"no {mark!r} in the answer: {bytes(seen[:500])!r}")


def read_chunked(source: BufferedIOBase) -> Answer:
    """Read to the last chunk, or to the end of a connection that breaks."""
    pieces: list[tuple[float, bytes]] = []
    tail = b""
    while not tail.endswith(_LAST_CHUNK) and (piece := source.read1(_PIECE)):
        pieces.append((time.perf_counter(), piece))
        tail = tail[-len(_LAST_CHUNK) :] + piece[-len(_LAST_CHUNK) :]
    return Answer(pieces)


class RuntimeApi:
    """One sandbox's Runtime API, served while `serving` runs.

    Methods wait for the sandbox to act; they raise queue.Empty when it does not.
    """

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Conversation)

    @property
    def address(self) -> str:
        """The value of `AWS_LAMBDA_RUNTIME_API`."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def polled(self) -> float:
        """Wait for the sandbox to ask for its next invocation; return the time."""
        return self._server.polls.get(timeout=PATIENCE)

    def invoke(self, event: Any) -> None:
        """Give the sandbox an event."""
        self._server.events.put(json.dumps(event).encode())

    def answer(self) -> Answer:
        """The answer to the last event, when it is complete."""
        return self._server.answers.get(timeout=PATIENCE)

    @contextmanager
    def serving(self) -> Iterator[None]:
        thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            self._server.events.put(_NO_MORE)
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A sandbox that takes many invocations connects as often at the same moment.
    request_queue_size = 256

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.polls: queue.Queue[float] = queue.Queue()
        self.events: queue.Queue[bytes] = queue.Queue()
        self.answers: queue.Queue[Answer] = queue.Queue()


class _Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A head and a body written apart would otherwise wait for each other's acknowledgement.
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        # A sandbox that is not needed any more is killed, whatever it is doing.
        with suppress(ConnectionResetError):
            super().handle()

    def do_GET(self) -> None:
        self.server.polls.put(time.perf_counter())
        event = self.server.events.get()
        if event is _NO_MORE:
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(event)))
        self.send_header("Lambda-Runtime-Aws-Request-Id", str(uuid.uuid4()))
        deadline = int((time.time() + _FUNCTION_TIMEOUT) * 1000)
        self.send_header("Lambda-Runtime-Deadline-Ms", str(deadline))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:::function:bench")
        self.end_headers()
        self.wfile.write(event)

    def do_POST(self) -> None:
        length = self.headers["Content-Length"]
        if length is None:
            answer = read_chunked(self.rfile)
        else:
            body = self.rfile.read(int(length))
            answer = Answer([(time.perf_counter(), body)])
        self.server.answers.put(answer)
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Write no access log."""
