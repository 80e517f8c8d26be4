"""Every request of a stranger is answered: none fails an invocation.

Drives the adapter and the application in one process, with Lambda's events of all four kinds, up to
the bytes that go to the Runtime API. The parts in front of a function (its URL's parser, or
`python -m local`) are left out: they take less than this.
"""

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest

from app import parts
from app.application import create_app
from app.models.demo import DemoProvider
from app.settings import Settings
from lambda_stream import Adapter
from lambda_stream.handler import marshal
from lambda_stream.invocation import LambdaContext
from lambda_stream.protocol import PRELUDE_END, Prelude, StreamEncoder, StreamState
from tests.store import CREDENTIALS, create_table

pytestmark = pytest.mark.anyio

EVENTS = Path(__file__).parents[2] / "events"
KINDS: dict[str, dict[str, Any]] = {
    kind: json.loads((EVENTS / f"{kind}.json").read_text())
    for kind in ("function-url-read", "rest-create", "http-api-read", "alb-read")
}

REQUESTS = 20_000
SEED = 20_261_128
AT_ONCE = 8

TOKEN = "t" * 32
STREAM = "q3Zt8K1vXw0bYfJ7mR2sNcLhEa5DuG_p"
CURSOR = f"{STREAM}:7"

METHODS = ["GET"] * 12 + ["POST"] * 4 + ["HEAD", "OPTIONS", "PUT", "DELETE", "BREW", "get", "GÉT"]
PATHS = [
    "/",
    "",
    "/healthz",
    *["/streams"] * 3,
    "/sse",
    "/docs",
    "/openapi.json",
    "/client.js",
    "/assets/x/page.js",
    f"/streams/{STREAM}",
    f"/streams/{STREAM}/events",
    f"/streams/{STREAM}/cancel",
    "/streams/limit:tokens:all:20000",
    "/ai-sdk/chat",
    "/ai-sdk/chat/x/stream",
    f"/ai-sdk/chat/{STREAM}/stream",
    "/ai-sdk/chat/x/stop",
    "/v1/models",
    "/v1/models/x",
    "/v1/chat/completions",
    "/v1/responses",
    f"/v1/responses/resp_{STREAM}",
    f"/v1/responses/resp_{STREAM}/cancel",
    f"/v1/responses/resp_{STREAM}/input_items",
    "/ag-ui",
    "/ag-ui/x",
    "/ag-ui/runs/cancel",
    "/nothing",
    "//evil.example/",
]
TAILS = ["", "/", "//", "/..", "/%2e%2e/", "%00", "%", "%zz", "%ff%fe", "%2f", "\\", "é☃"]
TEXTS = [
    "",
    "a",
    "hello",
    '"<{',
    "é☃",
    "\U0001f600",
    "\x00\x01\r\n\x7f",
    "%",
    "%00%ff%zz",
    "٣",
    "-1",
    "1e999",
    "NaN",
    "9" * 5_000,
    "../" * 50,
    CURSOR,
    f"{STREAM}:{'9' * 40}",
    f"{STREAM}:-0",
    f"default.99999999999.{'A' * 43}",
    f"Bearer {TOKEN}",
    "Bearer é",
    "Bearer",
    "Basic Og==",
]
LONG = [100, 5_500, 16_200, 20_000]
HOSTS = ["x", "", ":", "[::1]", "[::1]:3000", "a:b", "a:b:c", "a:99999", "[", "é", "evil.example"]
NAMES = ["prompt", "model", "max_tokens", "temperature", "stop", "stream", "token", "last_event_id"]
NAMES += ["startIndex", "starting_after"]
HEADERS = [
    "Accept",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "Authorization",
    "Content-Length",
    "Content-Type",
    "Cookie",
    "Expect",
    "Idempotency-Key",
    "Last-Event-ID",
    "Origin",
    "Range",
    "Sec-Fetch-Site",
    "Transfer-Encoding",
    "Upgrade",
    "X-Forwarded-For",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-HTTP-Method-Override",
]
BODIES = [
    "",
    "{}",
    "[]",
    "null",
    '"a"',
    "{",
    "[" * 50_000,
    '{"prompt":"\\ud83d"}',
    '{"id":"\\ud83d","messages":[{"role":"user","parts":[{"type":"text","text":"a"}]}]}',
    '{"activeStreamId":"\\ud83d"}',
    '{"model":"demo","input":"a","stream":true}',
    '{"model":"demo","messages":[{"role":"user","content":"\\ud83d"}]}',
    '{"threadId":"\\ud83d","runId":"a","messages":[{"id":"a","role":"user","content":"a"}]}',
    '{"\\ud83d":1}',
    '{"prompt":NaN}',
    '{"max_tokens":1e999,"prompt":"a"}',
    *['{"prompt":"a"}'] * 4,  # so that some streams are created
    '{"prompt":"a","stop":[' + "1," * 9_999 + "1]}",
    '{"prompt":"' + "a" * 900_000,
]


@dataclass(frozen=True)
class Asked:
    """A request as a stranger writes it; the query and the path are as they stand in a URL."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str


def _text(dice: Random) -> str:
    if dice.random() < 0.8:
        return dice.choice(TEXTS)
    return dice.choice(["a", '"', "<", "é", "%22", " "]) * dice.choice(LONG)


def _query(dice: Random) -> str:
    if dice.random() < 0.2:
        return dice.choice([_text(dice), "prompt=hello"])
    names = [dice.choice([*NAMES, _text(dice)]) for _ in range(dice.randrange(4))]
    return "&".join(f"{name}={_text(dice)}" for name in names) + "&" * dice.choice([0, 0, 1, 999])


def asked(dice: Random) -> Asked:
    """The next request of a stranger."""
    headers = {dice.choice(HEADERS): _text(dice) for _ in range(dice.randrange(4))}
    headers |= {dice.choice(["Host", "host"]): dice.choice(HOSTS)} if dice.random() < 0.9 else {}
    if dice.random() < 0.5:
        headers |= {"Content-Type": "application/json"}
    if dice.random() < 0.2:
        headers |= {"Authorization": f"Bearer {TOKEN}"}
    if dice.random() < 0.1:
        headers |= {"Sec-Fetch-Site": "cross-site"}
    path = dice.choice(PATHS)
    if dice.random() < 0.5:
        path += dice.choice(TAILS) + "a" * dice.choice([0, 0, 0, 9_000])
    return Asked(
        dice.choice(METHODS),
        path,
        _query(dice),
        headers,
        dice.choice([*BODIES, _text(dice)]),
    )


def event(kind: str, asked: Asked, dice: Random) -> dict[str, Any]:
    """The event that Lambda is sent for a request, by a sender of this kind."""
    body: dict[str, Any] = {"body": asked.body, "isBase64Encoded": False}
    if dice.random() < 0.3:
        encoded = base64.b64encode(asked.body.encode() + b"\xff").decode()
        body = {"body": encoded, "isBase64Encoded": True}
    common = KINDS[kind] | body | {"headers": asked.headers}
    context = KINDS[kind]["requestContext"]
    if kind in {"function-url-read", "http-api-read"}:
        http = context["http"] | {"method": asked.method, "path": asked.path or "/"}
        lowered = {name.lower(): value for name, value in asked.headers.items()}
        return common | {
            "rawPath": asked.path or "/",
            "rawQueryString": asked.query,
            "headers": lowered,
            "cookies": asked.headers.get("Cookie", "").split("; "),
            "requestContext": context | {"http": http},
        }
    # An ALB hands a query on as it came, a REST API decodes it; both by name.
    query = asked.query if kind == "rest-create" else asked.query.replace("%", "%25")
    pairs: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        pairs.setdefault(name, []).append(value)
    sent = common | {"httpMethod": asked.method, "path": asked.path or "/"}
    if kind == "rest-create":
        whole = f"/live{unquote(asked.path)}"
        sent |= {"requestContext": context | {"path": whole}}
    if kind == "rest-create" or dice.random() < 0.5:
        return sent | {
            "multiValueHeaders": {name: [value] for name, value in asked.headers.items()},
            "multiValueQueryStringParameters": pairs,
        }
    return sent | {"queryStringParameters": {name: values[-1] for name, values in pairs.items()}}


@dataclass
class Wire:
    """The bytes that a streamed response becomes."""

    encoder: StreamEncoder = field(default_factory=lambda: StreamEncoder("runtime", "1", None))
    sent: bytearray = field(default_factory=bytearray)

    async def start(self, prelude: Prelude, first: bytes) -> None:
        self.sent += self.encoder.start(prelude)
        if first:
            self.sent += self.encoder.chunk(first)

    async def write(self, data: bytes) -> None:
        self.sent += self.encoder.chunk(data) if data else b""

    async def finish(self) -> None:
        self.sent += self.encoder.finish()

    def status(self) -> int:
        """The status that Lambda reads of it."""
        assert self.encoder.state is StreamState.DONE
        prelude = self.sent[: self.sent.index(PRELUDE_END)].rpartition(b"\r\n")[2]
        status: int = json.loads(prelude)["statusCode"]
        return status


async def invoke(adapter: Adapter, event: dict[str, Any]) -> int:
    """The status that a client gets; raises the error that would fail the invocation."""
    context = LambdaContext("1", "arn", deadline_ms=int(time.time() * 1000) + 60_000)
    if adapter.streams(event):
        wire = Wire()
        await adapter.stream(event, context, wire)
        return wire.status()
    result = await adapter.respond(event, context)
    marshal(result)
    status: int = result["statusCode"]
    return status


@asynccontextmanager
async def started(table: str, environ: dict[str, str]) -> AsyncIterator[Adapter]:
    settings = Settings(
        table_name=table,
        allowed_origins=("https://app.example.com",),
    )
    provider = DemoProvider(tokens=1, tokens_per_second=1_000)
    limited = {"REQUESTS_PER_MINUTE": "10000", "STREAM_CONNECTS_PER_MINUTE": "100"}
    app = create_app(
        settings,
        provider,
        gate=parts.gate(environ),
        hooks=parts.hooks(limited),
        wires=parts.WIRES,
    )
    adapter = Adapter(app)
    await adapter.startup()
    yield adapter
    await adapter.shutdown()


@pytest.mark.prove
@pytest.mark.timeout(300)
async def test_no_request_of_a_stranger_fails_an_invocation(
    moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL_DYNAMODB": moto_url}.items():
        monkeypatch.setenv(name, value)
    dice = Random(SEED)  # noqa: S311 - the same requests each time
    statuses: Counter[int] = Counter()
    failed: list[tuple[dict[str, Any], BaseException | int]] = []

    numbers = iter(range(REQUESTS))

    async def attack(adapters: list[Adapter]) -> None:
        for _ in numbers:
            sent = event(dice.choice(list(KINDS)), asked(dice), dice)
            try:
                status = await invoke(dice.choice(adapters), sent)
            except Exception as error:  # noqa: BLE001 - each fails an invocation
                failed.append((sent, error))
            else:
                statuses[status] += 1
                if status >= 500:
                    failed.append((sent, status))

    async with AsyncExitStack() as stack:
        adapters = [
            await stack.enter_async_context(started(create_table(moto_url), environ))
            for environ in ({}, {"API_TOKENS": json.dumps({"default": TOKEN})})
        ]
        await asyncio.gather(*(attack(adapters) for _ in range(AT_ONCE)))

    print(sorted(statuses.items()))  # noqa: T201 - pytest shows it when the test fails
    assert not failed, f"{len(failed)}, the first {failed[0][1]!r}: {str(failed[0][0])[:3_000]}"
    assert statuses.total() == REQUESTS
    assert set(statuses) >= {200, 201, 307, 400, 404, 405, 413, 422}
    assert set(statuses) >= {401, 403}  # access
