"""Events of every HTTP source, through the adapter to a FastAPI application and back."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from lambda_stream import Adapter
from lambda_stream.cycle import ResponseBuffer
from lambda_stream.exceptions import InitError, UnsupportedEvent
from lambda_stream.invocation import LambdaContext
from lambda_stream.protocol import Prelude
from tests.lambda_stream.runtime_api import NEXT, RuntimeApi
from tests.lambda_stream.sandbox import stock

pytestmark = pytest.mark.anyio

EVENTS = Path(__file__).parents[2] / "events"
STREAM = "/streams/q3Zt8K1vXw0bYfJ7mR2sNcLhEa5DuG_p/events"
CURSOR = "q3Zt8K1vXw0bYfJ7mR2sNcLhEa5DuG_p:7"
REQUEST_BODY = {"prompt": "Why is the sky blue? Réponds en français.", "max_tokens": 400}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"database": "open"}


app = FastAPI(lifespan=lifespan)


@app.get("/answers")
async def answer(response: Response) -> str:
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    response.headers.append("vary", "accept")
    response.headers.append("vary", "origin")
    response.headers["x-name"] = "é"
    return "☃"


@app.get("/binary")
async def binary() -> Response:
    return Response(b"\x89PNG\x00", media_type="image/png")


@app.get("/latin")
async def latin() -> Response:
    return Response(b"\xe9", headers={"content-type": "text/plain; charset=latin-1"})


@app.get("/pieces")
async def pieces() -> StreamingResponse:
    return StreamingResponse(iter(["one, ", "two, ", "three"]), media_type="text/plain")


@app.get("/headers")
async def headers(request: Request) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in request.scope["headers"]]


@app.api_route("/{path:path}", methods=["GET", "POST"])
async def echo(request: Request, path: str) -> dict[str, Any]:
    """Return everything that the application receives of a request."""
    return {
        "method": request.method,
        "path": f"/{path}",
        "root_path": request.scope["root_path"],
        "address": request.url.path,
        "query": request.query_params.multi_items(),
        "headers": request.headers.items(),
        "cookies": request.cookies,
        "body": base64.b64encode(await request.body()).decode(),
        "client": request.client.host if request.client else None,
        "url": str(request.url.replace(path="", query="")),
        "state": request.state.database,
        **request.scope["extensions"]["lambda_stream"],
    }


@pytest.fixture
async def adapter() -> AsyncIterator[Adapter]:
    adapter = Adapter(app)
    await adapter.startup()
    yield adapter
    await adapter.shutdown()


def event(name: str, **changes: Any) -> dict[str, Any]:
    """Load one of events/, with some members changed."""
    loaded: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return loaded | changes


def to(path: str, name: str) -> dict[str, Any]:
    """Load one of events/, as a GET of another path."""
    loaded = event(name, path=path, rawPath=path, httpMethod="GET", body=None)
    if "http" in loaded["requestContext"]:
        loaded["requestContext"]["http"] |= {"path": path, "method": "GET"}
    return loaded


def context(seconds: float = 60) -> LambdaContext:
    return LambdaContext("r-1", "arn", deadline_ms=int((time.time() + seconds) * 1000))


async def stream(adapter: Adapter, event: dict[str, Any]) -> tuple[Prelude, bytes]:
    response = ResponseBuffer()
    await adapter.stream(event, context(), response)
    return response.prelude, bytes(response.body)


async def received(adapter: Adapter, event: dict[str, Any]) -> Any:
    """Return the request that the application receives for an event."""
    if adapter.streams(event):
        _, body = await stream(adapter, event)
        return json.loads(body)
    return json.loads((await adapter.respond(event, context()))["body"])


# Requests


@pytest.mark.parametrize(
    ("name", "method", "path", "query", "streams"),
    [
        ("function-url-create", "POST", "/streams", [], True),
        ("function-url-read", "GET", STREAM, [], True),
        ("function-url-resume", "GET", STREAM, [], True),
        ("http-api-read", "GET", STREAM, [["last_event_id", CURSOR]], False),
        ("rest-create", "POST", "/streams", [], True),
        ("alb-read", "GET", STREAM, [["last_event_id", CURSOR]], False),
    ],
)
async def test_an_event_becomes_the_request_that_the_client_sent(
    adapter: Adapter, name: str, method: str, path: str, query: list[list[str]], *, streams: bool
) -> None:
    """Its response is streamed if the source accepts a stream, and buffered otherwise."""
    source = event(name)
    assert adapter.streams(source) is streams

    request = await received(adapter, source)

    assert (request["method"], request["path"], request["query"]) == (method, path, query)
    sent = {header.lower(): value for header, value in source["headers"].items()}
    headers = {header: value for header, value in request["headers"] if header != "cookie"}
    assert headers == sent
    assert request["url"] == f"https://{sent['host']}"
    assert request["client"] in sent["x-forwarded-for"]
    body = base64.b64decode(request["body"])
    assert (json.loads(body) if body else None) == (REQUEST_BODY if method == "POST" else None)
    assert request["state"] == "open"
    assert request["buffered"] is not streams
    assert request["deadline"] == pytest.approx(time.time() + 60, abs=5)


def test_every_file_of_events_is_tested() -> None:
    mark = test_an_event_becomes_the_request_that_the_client_sent.pytestmark[0]  # type: ignore[attr-defined]

    assert {case[0] for case in mark.args[1]} == {path.stem for path in EVENTS.glob("*.json")}


BINARY = {"body": base64.b64encode(b"\x00\xff").decode(), "isBase64Encoded": True}
EVERY_CREATE = pytest.mark.parametrize("name", ["function-url-create", "rest-create"])


@EVERY_CREATE
async def test_a_body_in_base64_is_decoded(adapter: Adapter, name: str) -> None:
    request = await received(adapter, event(name, **BINARY))

    assert base64.b64decode(request["body"]) == b"\x00\xff"


@pytest.mark.parametrize("body", [None, ""])
@EVERY_CREATE
async def test_a_request_without_a_body_has_an_empty_one(
    adapter: Adapter, name: str, body: str | None
) -> None:
    assert (await received(adapter, event(name, body=body)))["body"] == ""


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("http-api-read", {"cookies": ["a=1", "b=2"]}),
        ("function-url-read", {"cookies": ["a=1", "b=2"]}),
        ("rest-create", {"multiValueHeaders": {"Cookie": ["a=1; b=2"]}}),
        ("alb-read", {"headers": {"cookie": "a=1; b=2"}}),
        ("alb-read", {"multiValueHeaders": {"cookie": ["a=1; b=2"]}}),
    ],
)
async def test_cookies_arrive_from_every_place_that_a_source_uses(
    adapter: Adapter, name: str, changes: dict[str, Any]
) -> None:
    assert (await received(adapter, event(name, **changes)))["cookies"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("name", "values"),
    [("rest-create", [["x-multi", "1, 2"]]), ("alb-read", [["x-multi", "1"], ["x-multi", "2"]])],
)
async def test_every_value_of_a_header_arrives(
    adapter: Adapter, name: str, values: list[list[str]]
) -> None:
    request = await received(adapter, event(name, multiValueHeaders={"X-Multi": ["1", "2"]}))

    assert [header for header in request["headers"] if header[0] == "x-multi"] == values


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("function-url-read", {"rawQueryString": "a=1&a=2&b=%C3%A9+%26"}),
        ("rest-create", {"multiValueQueryStringParameters": {"a": ["1", "2"], "b": ["é &"]}}),
        ("alb-read", {"multiValueQueryStringParameters": {"a": ["1", "2"], "b": ["%C3%A9+%26"]}}),
    ],
)
async def test_every_value_of_the_query_arrives(
    adapter: Adapter, name: str, changes: dict[str, Any]
) -> None:
    request = await received(adapter, event(name, **changes))

    assert request["query"] == [["a", "1"], ["a", "2"], ["b", "é &"]]


HOSTS = [
    "[::1]",
    "[::1]:3000",
    "a:b",
    "a:b:c",
    "a:",
    ":",
    "",
    "a:99999",
    "[",
    "é:²",
    "a" * 20_000,
]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(
    "name", ["function-url-read", "http-api-read", "rest-create", "alb-read", "alb-multi"]
)
async def test_a_request_with_a_malformed_host_or_port_is_served(
    adapter: Adapter, name: str, host: str
) -> None:
    """A load balancer forwards any Host, and a proxy any port."""
    source = to("/headers", name.replace("multi", "read"))
    if name == "alb-multi":
        source["multiValueHeaders"] = {"Host": [host], "X-Forwarded-Port": ["x"]}
    else:
        source["headers"] = {"Host": host, "x-forwarded-port": "x"}
        source |= {"multiValueHeaders": {}, "cookies": []}
        if name == "alb-read":
            del source["multiValueHeaders"]

    request = await received(adapter, source)

    assert sorted(request) == [["host", host], ["x-forwarded-port", "x"]]


async def test_a_path_arrives_decoded(adapter: Adapter) -> None:
    assert (await received(adapter, to("/caf%C3%A9", "function-url-read")))["path"] == "/café"


# Where the application is mounted


def rest(path: str, whole: str) -> dict[str, Any]:
    """A GET from a REST API: `path` is without the stage, `whole` has it."""
    source = to(path, "rest-create")
    return source | {"requestContext": source["requestContext"] | {"path": whole}}


@pytest.mark.parametrize(
    ("source", "root_path", "path"),
    [
        pytest.param(event("rest-create"), "/live", "/streams", id="a REST API's stage"),
        pytest.param(rest("/", "/live/"), "/live", "/", id="the stage's root"),
        pytest.param(rest("/caf%C3%A9", "/live/caf%C3%A9"), "/live", "/café", id="encoded"),
        pytest.param(
            rest("/live/live", "/live/live/live"), "/live", "/live/live", id="the stage's name"
        ),
        pytest.param(rest("/streams", "/streams"), "", "/streams", id="a custom domain"),
        pytest.param(rest("/streams", "/{proxy+}"), "", "/streams", id="sam local"),
        pytest.param(rest("/", "/"), "", "/", id="sam local's root"),
        pytest.param(to("/", "function-url-read"), "", "/", id="a function URL"),
        pytest.param(to("/streams", "http-api-read"), "", "/streams", id="an HTTP API"),
        pytest.param(to("/streams", "alb-read"), "", "/streams", id="a load balancer"),
    ],
)
async def test_the_application_knows_its_path_and_what_stands_before_it(
    adapter: Adapter, source: dict[str, Any], root_path: str, path: str
) -> None:
    """So the addresses in its responses are those that its clients can request."""
    request = await received(adapter, source)

    assert (request["root_path"], request["path"]) == (root_path, path)
    assert request["address"] == f"{root_path}{path}"


async def test_a_stage_without_its_slash_is_redirected_to_the_one_with(adapter: Adapter) -> None:
    """Only there a page's relative addresses lead to the same stage."""
    prelude, _ = await stream(adapter, rest("/", "/live"))

    assert prelude.status == 307
    assert dict(prelude.headers)["location"].endswith(".amazonaws.com/live/")


@pytest.mark.parametrize("name", ["function-url-read", "http-api-read", "rest-create"])
@pytest.mark.parametrize("path", ["/streams", "/"])
async def test_a_base_path_is_cut_off_and_becomes_the_root_path(name: str, path: str) -> None:
    adapter = Adapter(app, base_path="/api")
    await adapter.startup()
    source = to(f"/api{path}", name)
    source["requestContext"]["path"] = f"/api{path}"

    request = await received(adapter, source)

    assert (request["root_path"], request["path"], request["address"]) == (
        "/api",
        path,
        f"/api{path}",
    )
    await adapter.shutdown()


# Streamed or buffered


@pytest.mark.parametrize("variable", ["AWS_SAM_LOCAL", "LAMBDA_STREAM_BUFFERED"])
@pytest.mark.parametrize(("value", "streams"), [("true", False), ("1", False), ("", True)])
def test_the_environment_can_force_buffered_responses(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, *, streams: bool
) -> None:
    monkeypatch.setenv(variable, value)

    assert Adapter(app).streams(event("function-url-read")) is streams


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("name", ["function-url-read", "http-api-read"])
def test_the_adapters_argument_overrides_event_and_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, *, buffered: bool
) -> None:
    monkeypatch.setenv("AWS_SAM_LOCAL", "true")

    assert Adapter(app, buffered=buffered).streams(event(name)) is not buffered


def test_an_http_api_with_payload_1_0_is_not_taken_for_a_rest_api() -> None:
    """It cannot stream, and differs from a REST API only in its version."""
    assert not Adapter(app).streams(event("rest-create", version="1.0"))


NOT_HTTP: list[Any] = [
    None,
    3,
    "requestContext",
    [],
    {},
    {"source": "aws.events", "resources": [], "detail": {}},
    {"Records": [{"eventSource": "aws:sqs"}]},
    {"Records": {"kinesis": 1}},
    {"requestContext": None},
    {"requestContext": None, "version": "2.0"},
    {"requestContext": {"routeKey": "$connect", "connectionId": "1"}},
    {"requestContext": {"http": {"method": "GET"}}, "version": "2.0"},
    {"requestContext": {}, "resource": "/"},
    event("function-url-create", body="not base64", isBase64Encoded=True),
]


@pytest.mark.parametrize("other", NOT_HTTP)
async def test_an_event_that_is_not_http_never_reaches_the_application(other: Any) -> None:
    async def never(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError("the application was called")

    adapter = Adapter(never)
    with pytest.raises(UnsupportedEvent):
        await adapter.respond(other, context())
    with pytest.raises(UnsupportedEvent):
        await adapter.stream(other, context(), ResponseBuffer())


# Responses

PLAIN = {"content-type": "application/json", "x-name": "é"}
COOKIES = ["first=1; Path=/; SameSite=lax", "second=2; Path=/; SameSite=lax"]


@pytest.mark.parametrize("name", ["function-url-read", "rest-create"])
async def test_a_streamed_response_has_its_cookies_in_a_list(adapter: Adapter, name: str) -> None:
    prelude, body = await stream(adapter, to("/answers", name))

    assert prelude.status == 200
    assert sorted(prelude.headers) == sorted(
        [*PLAIN.items(), ("vary", "accept"), ("vary", "origin")]
    )
    assert prelude.cookies == COOKIES
    assert body == '"☃"'.encode()


RESULTS = {
    "function-url-read": {
        "statusCode": 200,
        "headers": {**PLAIN, "vary": "accept,origin"},
        "cookies": COOKIES,
        "body": '"☃"',
        "isBase64Encoded": False,
    },
    "http-api-read": {
        "statusCode": 200,
        "headers": {**PLAIN, "vary": "accept,origin"},
        "cookies": COOKIES,
        "body": '"☃"',
        "isBase64Encoded": False,
    },
    "rest-create": {
        "statusCode": 200,
        "headers": PLAIN,
        "multiValueHeaders": {"vary": ["accept", "origin"], "set-cookie": COOKIES},
        "body": '"☃"',
        "isBase64Encoded": False,
    },
    "alb-read": {
        "statusCode": 200,
        "headers": {
            **PLAIN,
            "vary": "accept",
            "Vary": "origin",
            "set-cookie": COOKIES[0],
            "Set-cookie": COOKIES[1],
        },
        "body": '"☃"',
        "isBase64Encoded": False,
    },
}


@pytest.mark.parametrize("name", RESULTS)
async def test_a_buffered_response_is_the_proxy_result_for_its_source(
    adapter: Adapter, name: str
) -> None:
    assert await adapter.respond(to("/answers", name), context()) == RESULTS[name]


async def test_a_picture_in_svg_is_text_in_a_buffered_response() -> None:
    """`sam local` and API Gateway pass base64 on as it is, unless a type is declared as binary."""

    async def draw(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"image/svg+xml")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"<svg/>"})

    adapter = Adapter(draw, buffered=True)

    result = await adapter.respond(event("rest-create"), context())

    assert (result["body"], result["isBase64Encoded"]) == ("<svg/>", False)


async def test_a_load_balancer_that_sends_multi_value_headers_gets_them(adapter: Adapter) -> None:
    source = to("/answers", "alb-read") | {"multiValueHeaders": {"host": ["example.com"]}}

    result = await adapter.respond(source, context())

    assert "headers" not in result
    assert result["multiValueHeaders"] == {
        "content-type": ["application/json"],
        "x-name": ["é"],
        "vary": ["accept", "origin"],
        "set-cookie": COOKIES,
    }


async def test_a_buffered_response_joins_the_pieces_of_its_body(adapter: Adapter) -> None:
    result = await adapter.respond(to("/pieces", "http-api-read"), context())

    assert result["body"] == "one, two, three"


@pytest.mark.parametrize(("path", "data"), [("/binary", b"\x89PNG\x00"), ("/latin", b"\xe9")])
async def test_a_body_that_is_not_utf_8_is_in_base64(
    adapter: Adapter, path: str, data: bytes
) -> None:
    result = await adapter.respond(to(path, "http-api-read"), context())

    assert result["isBase64Encoded"] is True
    assert base64.b64decode(result["body"]) == data


# Under the stock runtime


async def test_the_stock_runtime_can_run_the_same_handler(api: RuntimeApi) -> None:
    """It returns proxy results, and starts the application once, with the first event."""
    async with stock(api, "functions.adapter"):
        answers = [await api.invoke(to("/startups", "function-url-read")) for _ in range(2)]

    results = [json.loads(body) for _, body in answers]
    assert results[0] == results[1]
    assert results[0]["headers"] == {"content-type": "text/plain"}
    assert results[0]["body"].startswith("1 ")


async def test_under_the_stock_runtime_a_task_runs_on_between_invocations(api: RuntimeApi) -> None:
    async with stock(api, "functions.adapter") as sandbox:
        await api.invoke(to("/leaves-a-task", "function-url-read"))
        await api.request(NEXT)

        assert await sandbox.line() == "the task went on\n"


async def test_under_the_stock_runtime_a_failure_is_an_error(api: RuntimeApi) -> None:
    async with stock(api, "functions.adapter"):
        answer, body = await api.invoke(to("/fails-early", "function-url-read"))

    assert answer.line.endswith("/error")
    assert json.loads(body)["errorMessage"] == "on réquest"


def test_under_the_stock_runtime_a_failed_start_is_retried() -> None:
    """An application that has not started serves no invocation."""
    starts = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            starts.append(scope)
            outcome = "failed" if len(starts) == 1 else "complete"
            await send({"type": f"lifespan.startup.{outcome}"})
            await asyncio.Event().wait()
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    handler = Adapter(app)
    source = to("/", "function-url-read")

    with pytest.raises(InitError):
        handler(source, context())
    assert handler(source, context())["statusCode"] == 204
    assert handler(source, context())["statusCode"] == 204
    assert len(starts) == 2
