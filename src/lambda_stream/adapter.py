"""ASGI behind Lambda events: Mangum's reading of the event, a response cycle that streams.

What is Mangum's: which kind of event it is, the scope and the body made of it, and the proxy
result for those who cannot take a stream. What is ours: the cycle between `http.request` and the
last body message. Mangum's own collects the whole body and runs the event loop itself, so it can
neither stream nor run inside a loop ("content will always be returned in a single response,
never streamed", mangum 0.22 `HTTPCycleState`).

Who can take a stream (AWS docs, configuration-response-streaming and API Gateway
response-transfer-mode): function URLs and REST APIs. HTTP APIs and load balancers cannot, nor can
`sam local` or the stock runtime; they get the same response in one piece. The scope tells the
application which it is, and how long this invocation may last:

    scope["extensions"]["lambda_stream"] = {"buffered": bool, "deadline": <Unix time in seconds>}
"""

import asyncio
import os
import re
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from lambda_stream.asgi import Application, Scope
from lambda_stream.cycle import ResponseBuffer, ResponseCycle
from lambda_stream.exceptions import UnsupportedEvent
from lambda_stream.invocation import LambdaContext
from lambda_stream.lifespan import Lifespan

if TYPE_CHECKING:
    from mangum import Mangum
    from mangum.types import LambdaHandler

    from lambda_stream.handler import ResponseSink


EXTENSION = "lambda_stream"

# Mangum takes a server's name and port out of these, and fails where a client wrote none into
# them. No header's name has a colon, so a prefix that has one keeps them from it.
_NAMES_THE_SERVER = frozenset({"host", "x-forwarded-port"})
_KEPT_FROM_MANGUM = "kept:"
_HOST = re.compile(r"([^:\[\]]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_DEFAULT_PORT = 443


class Adapter:
    """The Lambda handler of an ASGI application.

    `buffered` forces (True) or forbids (False) answering in one piece; None lets the event and
    the environment decide: `AWS_SAM_LOCAL` (set by SAM CLI) or `LAMBDA_STREAM_BUFFERED`.
    `base_path` is cut off the front of paths, for an API behind a custom domain's mapping. It and
    a REST API's stage become the scope's `root_path`.
    """

    def __init__(
        self, app: Application, *, buffered: bool | None = None, base_path: str = "/"
    ) -> None:
        self._app = app
        self._buffered = buffered
        self._base_path = base_path
        self._lifespan = Lifespan(app)
        self._mangum: Mangum | None = None
        self._started = False
        self._stock_loop: asyncio.AbstractEventLoop | None = None

    # Under our own runtime

    async def startup(self) -> None:
        """Run the application's lifespan up to its startup; raises InitError."""
        self._reader()  # Imported now, not while somebody waits for the answer to an event.
        await self._lifespan.startup()

    async def shutdown(self) -> None:
        """Let the application's lifespan end."""
        await self._lifespan.shutdown()

    def streams(self, event: Any) -> bool:
        """Whether the sender of this event takes a streamed response."""
        if self._buffered is not None:
            return not self._buffered
        if _asks_for_buffering(os.environ):
            return False
        return _from_function_url(event) or _from_rest_api(event)

    async def stream(self, event: Any, context: LambdaContext, response: "ResponseSink") -> None:
        """Run the application for one event; its body messages leave as they come.

        Raises UnsupportedEvent before the application is called.
        """
        source = self._infer(event, context)
        await self._run(event, source, context, response, buffered=False)

    async def respond(self, event: Any, context: LambdaContext) -> dict[str, Any]:
        """Run the application for one event; the proxy result is made when it is complete."""
        source = self._infer(event, context)
        response = ResponseBuffer()
        await self._run(event, source, context, response, buffered=True)
        cookies = [("set-cookie", cookie) for cookie in response.prelude.cookies]
        headers = [*response.prelude.headers, *cookies]
        return source(
            {
                "status": response.prelude.status,
                "headers": [[name.encode(), value.encode()] for name, value in headers],
                "body": bytes(response.body),
            }
        )

    # Under the stock runtime

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """The classic handler: one event in, one proxy result out.

        The event loop runs in a thread and outlives the call: what the application left running
        goes on whenever the sandbox does.
        """
        if self._stock_loop is None:
            self._stock_loop = asyncio.new_event_loop()
            threading.Thread(target=self._stock_loop.run_forever, daemon=True).start()
        call = self._start_and_respond(event, context)
        return asyncio.run_coroutine_threadsafe(call, self._stock_loop).result()

    async def _start_and_respond(self, event: Any, context: LambdaContext) -> dict[str, Any]:
        if not self._started:
            await self.startup()
            self._started = True
        return await self.respond(event, context)

    # One request

    def _infer(self, event: Any, context: LambdaContext) -> "LambdaHandler":
        reader = self._reader()
        try:
            return reader.infer(_without_server(event), cast("Any", context))
        except (RuntimeError, TypeError, LookupError) as error:
            raise UnsupportedEvent(
                "this event is not an HTTP request from a function URL, API Gateway or a load "
                "balancer: invoke the function through its URL, or give it another handler"
            ) from error

    def _reader(self) -> "Mangum":
        """Mangum, which must be made inside the event loop: outside, it makes one of its own."""
        if self._mangum is None:
            from mangum import Mangum

            self._mangum = Mangum(
                cast("Any", self._app), lifespan="off", api_gateway_base_path=self._base_path
            )
        return self._mangum

    async def _run(
        self,
        event: Any,
        source: "LambdaHandler",
        context: LambdaContext,
        response: "ResponseSink",
        *,
        buffered: bool,
    ) -> None:
        scope, body = _read(source)
        scope["aws.event"] = event
        _name_server(scope)
        _mount(scope)
        scope["asgi"] = {"version": "3.0", "spec_version": "2.4"}
        scope["state"] = self._lifespan.state.copy()
        deadline = _deadline(context)
        scope["extensions"] = {EXTENSION: {"buffered": buffered, "deadline": deadline}}
        cycle = ResponseCycle(scope["method"], body, response, guard_empty=not buffered)
        await cycle.run(self._app, scope)


def _read(source: "LambdaHandler") -> tuple[Scope, bytes]:
    try:
        return source.scope, source.body
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnsupportedEvent(
            f"this event looks like an HTTP request but lacks a part of one ({error!r}): "
            "compare it with events/ or with what `sam local generate-event` prints"
        ) from error


def _without_server(event: Any) -> Any:
    """The event as Mangum gets it: with the headers that name the server under other names."""
    if not isinstance(event, dict):
        return event
    members = ("headers", "multiValueHeaders")
    return event | {
        member: {_kept_name(name): value for name, value in event[member].items()}
        for member in members
        if isinstance(event.get(member), dict)
    }


def _kept_name(name: str) -> str:
    return f"{_KEPT_FROM_MANGUM}{name}" if name.lower() in _NAMES_THE_SERVER else name


def _name_server(scope: Scope) -> None:
    """Give the headers that were kept from Mangum back, and say which server they name."""
    prefix = _KEPT_FROM_MANGUM.encode()
    scope["headers"] = [[name.removeprefix(prefix), value] for name, value in scope["headers"]]
    texts = {bytes(name): bytes(value).decode() for name, value in scope["headers"]}
    scope["server"] = _server(texts.get(b"host", ""), texts.get(b"x-forwarded-port", ""))


def _server(host: str, forwarded_port: str) -> tuple[str, int] | None:
    """Name and port of the server, None where the client has sent no host that there could be."""
    match = _HOST.fullmatch(host)
    if match is None:
        return None
    port = match[2] or (forwarded_port if _PORT.fullmatch(forwarded_port) else _DEFAULT_PORT)
    return match[1], int(port)


def _mount(scope: Scope) -> None:
    """Make of the path that is left for the application what ASGI wants: the whole, and its root.

    A REST API keeps its stage out of the event's path, and so does a base path that was cut off.
    What the client asked for has both, and only with it can an application tell its own address.
    """
    inner, outer = scope["path"], _path_asked_for(scope["aws.event"], scope["path"])
    if inner in {"", "/"}:
        # A stage may be asked for without its slash; the application sees that, and can redirect.
        scope["path"], scope["root_path"] = outer, outer.rstrip("/")
    elif outer.endswith(inner):
        scope["path"], scope["root_path"] = outer, outer.removesuffix(inner)


def _path_asked_for(event: Any, inner: str) -> str:
    match event:
        case (
            {"requestContext": {"http": {"path": str(path)}}}
            | {"requestContext": {"path": str(path)}}
            | {"path": str(path)}
        ):
            return unquote(path)
        case _:  # CloudFront's, which has neither stage nor base path
            return inner


def _deadline(context: Any) -> float:
    return time.time() + float(context.get_remaining_time_in_millis()) / 1000


def _asks_for_buffering(environ: Mapping[str, str]) -> bool:
    return any(
        environ.get(name, "").lower() in {"1", "true"}
        for name in ("AWS_SAM_LOCAL", "LAMBDA_STREAM_BUFFERED")
    )


def _from_function_url(event: Any) -> bool:
    try:
        return ".lambda-url." in event["requestContext"]["domainName"]
    except (KeyError, TypeError):
        return False


def _from_rest_api(event: Any) -> bool:
    """REST APIs send payload 1.0 without the `version` that HTTP APIs add to it."""
    return isinstance(event, dict) and "resource" in event and "version" not in event
