"""An invocation: one event, and the client that waits for its answer."""

import asyncio
import time
import uuid
from typing import Protocol

from local.answers import Head
from local.events import function_url_event
from local.exceptions import MalformedAnswer
from local.http1 import HeaderList, Request


class Client(Protocol):
    """The way to the client of an invocation; `local.http1.Connection` is one."""

    @property
    def connected(self) -> bool: ...
    async def begin(self, status: int, headers: HeaderList) -> None: ...
    async def send(self, data: bytes) -> None: ...
    async def end(self) -> None: ...
    def cut(self) -> None: ...


class Invocation:
    """An event, and the connection for its answer.

    The client may disconnect at any time. As on AWS the function does not learn of it: the
    invocation continues, and its answer is discarded.
    """

    def __init__(self, request: Request, body: bytes, client: Client) -> None:
        self.request = request
        self.client = client
        self.request_id = str(uuid.uuid4())
        # Distinguishes an answer to this attempt from a late one to an earlier attempt.
        self.invocation_id = str(uuid.uuid4())
        self.trace_id = f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}"
        self.event = function_url_event(request, body, self.request_id, self.trace_id)
        self.accepted_at = time.monotonic()
        self.answered = asyncio.Event()
        self._begun = False
        self._over = False

    @property
    def ended_unsent(self) -> bool:
        """True if it ended before any byte was sent to the client."""
        return self._over and not self._begun

    async def begin(self, head: Head) -> None:
        """Send the answer's head.

        Raises:
            MalformedAnswer: the status or a header is invalid.
        """
        if self._over:
            return
        own = (("x-amzn-requestid", self.request_id), ("x-amzn-trace-id", self.trace_id))
        self._begun = True
        try:
            await self.client.begin(head.status, own + head.headers)
        except ValueError as error:
            self._begun = False
            raise MalformedAnswer(str(error)) from error

    async def send(self, data: bytes) -> None:
        if not self._over:
            await self.client.send(data)

    async def end(self) -> None:
        if not self._over:
            self._over = True
            await self.client.end()
            self.answered.set()

    def fail(self) -> None:
        """Abort the answer; a client that has received a part sees a broken connection."""
        if not self._over:
            self._over = True
            if self._begun:
                self.client.cut()
            self.answered.set()
