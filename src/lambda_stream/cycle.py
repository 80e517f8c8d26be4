"""The ASGI request and response of one invocation."""

import asyncio
import enum
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lambda_stream.exceptions import PreludeTooLarge, UnexpectedMessage
from lambda_stream.protocol import Prelude

if TYPE_CHECKING:
    from lambda_stream.adapter import Application, Message, Scope
    from lambda_stream.handler import ResponseSink

logger = logging.getLogger(__name__)

Headers = Iterable[tuple[bytes, bytes]]

# Hop-by-hop headers (RFC 9110 7.6.1) describe a connection that is not ours. `content-length`
# contradicts chunked bodies. Lambda answers 500 to a name it would have made up itself
# (facts: x-amzn-remapped-*).
_DROPPED = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_DROPPED_PREFIX = "x-amzn-remapped-"

# With a prelude and no body at all, some function URLs never end the client's response
# (aws-lambda-nodejs-runtime-interface-client #95, aws-lambda-web-adapter #499). One line end is
# harmless in every text format; where a body is forbidden there is nothing to guard with.
_EMPTY_BODY = b"\n"
_BODILESS = frozenset({204, 205, 304})


class CycleState(enum.Enum):
    """Where the ASGI cycle is.

    * **REQUEST** - nothing is sent; expects `http.response.start`, one that is not too large.
    * **HEAD** - status and headers are held back until there is a body byte to send with them.
    * **BODY** - the prelude has left; body messages leave as they come.
    * **ENDING** - the last message has come; whether the response has arrived is yet to be said.
    * **COMPLETE** - the response is whole.
    """

    REQUEST = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    ENDING = enum.auto()
    COMPLETE = enum.auto()


_ENDED = frozenset({CycleState.ENDING, CycleState.COMPLETE})

_FAILED = Prelude(500, [("content-type", "text/plain; charset=utf-8")])
_FAILED_BODY = b"Something broke: the operator finds the reason in the function's log.\n"


class ResponseCycle:
    """Runs an application for one request, and turns its messages into a response.

    `guard_empty` gives a response without a body one byte, where its status permits a body.
    """

    def __init__(
        self, method: str, body: bytes, response: "ResponseSink", *, guard_empty: bool
    ) -> None:
        self.state = CycleState.REQUEST
        self._method = method
        self._request: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self._response = response
        self._empty_body = _EMPTY_BODY if guard_empty else b""
        self._prelude = Prelude(0)
        self._bodiless = False
        self._over = asyncio.Event()
        self._lost: Exception | None = None
        self._too_large: PreludeTooLarge | None = None

    async def run(self, app: "Application", scope: "Scope") -> None:
        """Return when the application has; raises what it raises, unless it had answered.

        An error handler that has answered 500 raises all the same (Starlette does, so that
        servers can log it): then the client has its answer, and only the log is owed. Where the
        response was lost, that is what is raised, and not what the application made of it. An
        application may give up waiting for its last message to be taken; the response knows more.

        A head that is too large does not fail the invocation, as a client may have made it grow:
        where the application has no other answer, the client is answered 500.
        """
        failure: Exception | None = None
        try:
            await app(scope, self.receive, self.send)
        except Exception as error:
            failure = error
            if self.state is CycleState.COMPLETE:
                logger.exception("the application failed after its response was complete")
            elif self._lost is None and not self._lacks_a_head:
                raise
        if self._lost is not None:
            raise self._lost
        if self._lacks_a_head:
            logger.error("answered 500 instead: %s", self._too_large, exc_info=failure)
            self._take_head(_FAILED)
            await self._send(_FAILED_BODY, last=True)
        if self.state not in _ENDED:
            raise UnexpectedMessage(f"the application returned in state {self.state.name}")

    @property
    def _lacks_a_head(self) -> bool:
        return self._too_large is not None and self.state is CycleState.REQUEST

    async def receive(self) -> "Message":
        """The request once, then its disconnect when the response is over."""
        if self._request is not None:
            request, self._request = self._request, None
            return request
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: "Message") -> None:
        """Take one message; raises OSError once the client has left.

        Raises PreludeTooLarge for a head that is too large; another one may follow.
        """
        if self._lost is not None:
            raise self._lost
        kind = message["type"]
        if self.state is CycleState.REQUEST:
            _expect("http.response.start", kind)
            self._start(message["status"], message.get("headers", ()))
        elif self.state in _ENDED:
            raise UnexpectedMessage(f"got {kind!r} after the response was complete")
        else:
            _expect("http.response.body", kind)
            try:
                await self._send(message.get("body", b""), last=not message.get("more_body"))
            except Exception as error:
                self._lost = error
                self._over.set()
                raise

    def _start(self, status: int, headers: Headers) -> None:
        head = prelude(status, headers)
        try:
            head.encode()
        except PreludeTooLarge as error:
            self._too_large = error
            raise
        self._take_head(head)

    def _take_head(self, head: Prelude) -> None:
        self._prelude = head
        self._bodiless = self._method == "HEAD" or head.status in _BODILESS
        self.state = CycleState.HEAD

    async def _send(self, body: bytes, *, last: bool) -> None:
        if self._bodiless:
            body = b""
        if self.state is CycleState.BODY:
            await self._response.write(body)
        elif body or last:
            guard = b"" if self._bodiless else self._empty_body
            await self._response.start(self._prelude, body or guard)
            self.state = CycleState.BODY
        if last:
            self.state = CycleState.ENDING
            await self._response.finish()
            self.state = CycleState.COMPLETE
            self._over.set()


class ResponseBuffer:
    """A response that is collected instead of sent."""

    def __init__(self) -> None:
        self.prelude = Prelude(0)
        self.body = bytearray()

    async def start(self, prelude: Prelude, first: bytes) -> None:
        self.prelude = prelude
        self.body += first

    async def write(self, data: bytes) -> None:
        self.body += data

    async def finish(self) -> None:
        """Nothing is left to do: whoever made this buffer reads it."""


def prelude(status: int, headers: Headers) -> Prelude:
    """The prelude of an ASGI response: names in lower case, cookies apart, hop-by-hop gone."""
    kept: list[tuple[str, str]] = []
    cookies: list[str] = []
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name == "set-cookie":
            cookies.append(value)
        elif name not in _DROPPED and not name.startswith(_DROPPED_PREFIX):
            kept.append((name, value))
    return Prelude(status, kept, cookies)


def _expect(expected: str, kind: str) -> None:
    if kind != expected:
        raise UnexpectedMessage(f"Expected ASGI message {expected!r}, but got {kind!r}")
