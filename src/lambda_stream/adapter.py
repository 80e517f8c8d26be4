"""The ASGI adapter: turns a Lambda event into an ASGI request and streams the response.

Mangum still does three things: it recognises the source of an event, reads the scope and the body
from it, and makes the proxy result for a source that cannot stream. Function URLs and REST APIs
stream (AWS docs, configuration-response-streaming and API Gateway response-transfer-mode). HTTP
APIs, load balancers, `sam local` and the stock runtime get the same response in one piece.

Intentional differences from Mangum 0.22. Read the reason before you "fix" one:

 1. Body messages are sent as the application yields them. Mangum's cycle collects the body:
    "content will always be returned in a single response, never streamed" (`HTTPCycleState`).
 2. One event loop lives as long as the sandbox, so connections and tasks outlive an invocation.
    Mangum calls `run_until_complete` for every event, which fails inside a running loop.
 3. The lifespan starts before the first invocation and ends with the sandbox, because a pool that
    is opened for every request is no pool. Mangum runs it around every event. With SnapStart it
    starts after the restore, so what it makes belongs to one sandbox (`snapshot.py`).
 4. A failing application fails the invocation, so that Lambda counts and traces the error, and a
    started response is cut. Mangum logs the exception and returns a 500 that counts as a success.
 5. After the connection is lost `send` raises OSError (ASGI HTTP 2.4), so an application can stop
    its work. Mangum has no connection that it could lose, and announces `spec_version` 2.0.
 6. `scope["server"]` is None where Host is malformed, and its port is 443 where none is given,
    because every client may send any Host. Mangum raises for `[::1]`, and assumes port 80.
 7. `path` is the whole path and `root_path` has the stage and `base_path` (ASGI HTTP 2.4), so that
    an application knows its own address. Mangum strips the base path and leaves `root_path` empty.
 8. The application's header values are read as Latin-1, as ASGI servers do. Mangum decodes UTF-8,
    and raises for other bytes.
 9. Hop-by-hop headers, `content-length` and `x-amzn-remapped-*` are dropped (`cycle.py` says why).
    Mangum passes them on.
10. HEAD and 204, 205, 304 send no body, and another streamed response without a body gets one
    newline (`cycle.py` says why). Mangum returns the body that the application sent.
11. An event that is not an HTTP request raises UnsupportedEvent, whose message says what to do.
    Mangum raises RuntimeError, KeyError or TypeError, depending on which part is missing.
12. `lifespan`, `custom_handlers`, `text_mime_types` and `exclude_headers` are not options, because
    only buffered responses and other events need them. Mangum's defaults apply, and SVG counts as
    text: API Gateway and `sam local` show a page the base64 of anything else.
13. The scope has an extension, from which the application learns whether its response is streamed
    and when the invocation must end:

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

# Mangum reads the server's name and port from these headers, and raises where they are malformed.
# A prefix with a colon hides them from Mangum, since no header name has a colon.
_SERVER_HEADERS = frozenset({"host", "x-forwarded-port"})
_HIDDEN_PREFIX = "hidden:"
_HOST = re.compile(r"([^:\[\]]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_DEFAULT_PORT = 443


class Adapter:
    """The Lambda handler of an ASGI application.

    `buffered` forces (True) or forbids (False) a response in one piece. None lets the environment
    (`AWS_SAM_LOCAL`, set by SAM CLI, or `LAMBDA_STREAM_BUFFERED`) and then the event decide.
    `base_path` is the path prefix of an API behind a custom domain's mapping. It and a REST API's
    stage become the scope's `root_path`.
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

    def prepare(self) -> None:
        """Import Mangum now, so that the first request does not wait for it."""
        self._reader()

    async def startup(self) -> None:
        """Run the application's lifespan up to its startup; raises InitError."""
        await self._lifespan.startup()

    async def shutdown(self) -> None:
        """Run the application's lifespan to its end."""
        await self._lifespan.shutdown()

    def streams(self, event: Any) -> bool:
        """Return True if the source of this event accepts a streamed response."""
        if self._buffered is not None:
            return not self._buffered
        if _must_buffer(os.environ):
            return False
        return _from_function_url(event) or _from_rest_api(event)

    async def stream(self, event: Any, context: LambdaContext, response: "ResponseSink") -> None:
        """Run the application for one event, and send each body message at once.

        Raises UnsupportedEvent before the application is called.
        """
        source = self._infer(event, context)
        await self._run(event, source, context, response, buffered=False)

    async def respond(self, event: Any, context: LambdaContext) -> dict[str, Any]:
        """Run the application for one event, and return its whole response as a proxy result."""
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
        """Handle one event as a plain Lambda handler, and return a proxy result.

        The event loop runs in a thread and outlives the call, so the application's background
        tasks continue whenever the sandbox is not frozen.
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
        """Return Mangum, made inside the event loop: outside it, Mangum makes a loop of its own."""
        if self._mangum is None:
            from mangum import Mangum
            from mangum.adapter import DEFAULT_TEXT_MIME_TYPES

            self._mangum = Mangum(
                cast("Any", self._app),
                lifespan="off",
                api_gateway_base_path=self._base_path,
                text_mime_types=[*DEFAULT_TEXT_MIME_TYPES, "image/svg+xml"],
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
    """Return the event with the headers that name the server hidden from Mangum."""
    if not isinstance(event, dict):
        return event
    members = ("headers", "multiValueHeaders")
    return event | {
        member: {_hidden_name(name): value for name, value in event[member].items()}
        for member in members
        if isinstance(event.get(member), dict)
    }


def _hidden_name(name: str) -> str:
    return f"{_HIDDEN_PREFIX}{name}" if name.lower() in _SERVER_HEADERS else name


def _name_server(scope: Scope) -> None:
    """Restore the hidden headers, and set `server` from them."""
    prefix = _HIDDEN_PREFIX.encode()
    scope["headers"] = [[name.removeprefix(prefix), value] for name, value in scope["headers"]]
    texts = {bytes(name): bytes(value).decode() for name, value in scope["headers"]}
    scope["server"] = _server(texts.get(b"host", ""), texts.get(b"x-forwarded-port", ""))


def _server(host: str, forwarded_port: str) -> tuple[str, int] | None:
    """Return the server's name and port, or None if the Host header is malformed."""
    match = _HOST.fullmatch(host)
    if match is None:
        return None
    port = match[2] or (forwarded_port if _PORT.fullmatch(forwarded_port) else _DEFAULT_PORT)
    return match[1], int(port)


def _mount(scope: Scope) -> None:
    """Set `path` to the path that the client requested, and `root_path` to its prefix.

    Mangum's path has neither a REST API's stage nor the base path. ASGI wants both in `path`, and
    an application needs them for its own address.
    """
    inner, outer = scope["path"], _requested_path(scope["aws.event"], scope["path"])
    if inner in {"", "/"}:
        # A client may request a stage without its slash. The application sees that and redirects.
        scope["path"], scope["root_path"] = outer, outer.rstrip("/")
    elif outer.endswith(inner):
        scope["path"], scope["root_path"] = outer, outer.removesuffix(inner)


def _requested_path(event: Any, inner: str) -> str:
    match event:
        case (
            {"requestContext": {"http": {"path": str(path)}}}
            | {"requestContext": {"path": str(path)}}
            | {"path": str(path)}
        ):
            return unquote(path)
        case _:  # Lambda@Edge, which has neither stage nor base path
            return inner


def _deadline(context: Any) -> float:
    return time.time() + float(context.get_remaining_time_in_millis()) / 1000


def _must_buffer(environ: Mapping[str, str]) -> bool:
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
    """Recognise payload 1.0 without a `version`: HTTP APIs send one, REST APIs do not."""
    return isinstance(event, dict) and "resource" in event and "version" not in event
