"""The log of the application as it is shipped, at its most talkative."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.flows.chat import TEXT, Chat, chat
from tests.flows.conftest import Function, Start, log_entries
from tests.flows.heard import text
from tests.flows.reader import Reader
from tests.store import client

pytestmark = [pytest.mark.anyio, pytest.mark.provider("openai")]

KEY = "sk-provider-key"
API_TOKEN = "api-token-of-somebody-in-32-letters"
PROMPT = "what-the-user-asks"
EARLIER = "what-the-model-said-earlier"
SYSTEM = "what-the-operator-instructs"
STOP = "where-to-stop"
THINKING = "what-the-model-thinks"
IDEMPOTENCY_KEY = "idempotency-key-of-somebody"
MALFORMED = "what-came-malformed"
ANSWER = ("naïve", r"na\u00efve", r"na\xc3\xafve")
SECRETS = {KEY, API_TOKEN, PROMPT, EARLIER, SYSTEM, STOP, THINKING, IDEMPOTENCY_KEY, MALFORMED}

BODY = {
    "messages": [
        {"role": "user", "content": PROMPT},
        {"role": "assistant", "content": EARLIER},
        {"role": "user", "content": PROMPT},
    ],
    "system": SYSTEM,
    "stop": [STOP],
}
SSE = f"/sse?prompt={PROMPT}&system={SYSTEM}&stop={STOP}"

Serve = Callable[..., Any]


@pytest.fixture
async def model() -> AsyncIterator[Chat]:
    async with chat() as model:
        yield model


@pytest.fixture
def serve(start: Start, model: Chat) -> Serve:
    """A way to run the application with everything on that writes to the log."""

    @asynccontextmanager
    async def serving(**limits: str) -> AsyncIterator[Function]:
        env = {
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": KEY,
            "OPENAI_PREFILL": "true",
            "MODELS": "by-heart",
            "API_TOKENS": json.dumps({"somebody": API_TOKEN}),
            "POWERTOOLS_SERVICE_NAME": "a-stack",
            "POWERTOOLS_METRICS_DISABLED": "false",
            "POWERTOOLS_LOG_LEVEL": "DEBUG",
            "AWS_LAMBDA_LOG_LEVEL": "DEBUG",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            **limits,
        }
        chosen = {"provider": "openai", "handler": "app.main.handler", "sandboxes": 3}
        async with start(env, **chosen) as function:
            function.http.headers["Authorization"] = f"Bearer {API_TOKEN}"
            yield function

    return serving


class Told:
    """The secrets that the function has told its clients, and must not tell its log."""

    def __init__(self) -> None:
        self.secrets: set[str] = set()

    def created(self, created: dict[str, Any]) -> dict[str, Any]:
        self.secrets |= {created["id"], created["token"]}
        return created

    def events(self, reader: Reader) -> None:
        self.secrets.add(reader.source.events[0].data["stream_id"])


async def test_nothing_sensitive_is_in_the_log_whatever_happens(serve: Serve, model: Chat) -> None:
    told = Told()
    async with serve() as function:
        await _ask_for_everything_else(function)
        await _be_refused(function, told)
        await _lose_a_sandbox(function, model, told)
        await _break_off(function, model, told)
        await _be_refused_by_the_model(function, model, told)
        await _cancel(function, model, told)
        await _lose_the_table(function)

    written = "\n".join(function.lines)
    assert {code for entry in _metrics(function) if (code := entry.get("code"))} >= {
        "provider_denied",
        "log_refused",
    }, "what went wrong has reached the log"
    assert '"level": "DEBUG"' in written, "the log is at its most talkative"
    found = {secret for secret in SECRETS | told.secrets | {*ANSWER} if secret in written}
    assert found == set()


async def _ask_for_everything_else(function: Function) -> None:
    for path in ("/", "/client.js", "/healthz", "/openapi.json", f"/{MALFORMED}"):
        await function.http.get(path)


async def _be_refused(function: Function, told: Told) -> None:
    """By everything that a request must pass before a model is asked."""
    post, get = function.http.post, function.http.get
    keyed = {"Idempotency-Key": IDEMPOTENCY_KEY}
    created = told.created((await post("/streams", json=BODY, headers=keyed)).json())
    answers = [
        await post("/streams", json={"prompt": PROMPT}, headers=keyed),
        await post("/streams", json={"prompt": PROMPT}, headers={"Idempotency-Key": "a key"}),
        await post("/streams", content=f'{{"prompt": "{PROMPT}'),
        await post("/streams", json={"prompt": PROMPT, "temperature": MALFORMED}),
        await post("/streams", json={"prompt": PROMPT, MALFORMED: MALFORMED}),
        await post("/streams", json={"prompt": PROMPT, "model": MALFORMED}),
        await post("/streams", json={"prompt": PROMPT * 100_000}),
        await post("/streams", json=BODY, headers={"Authorization": f"Bearer {MALFORMED}"}),
        await get(f"/streams/{MALFORMED}"),
        await get(f"/streams/{created['id']}", headers={"Authorization": f"Bearer {MALFORMED}"}),
        await get(f"/streams/{created['id']}?token={MALFORMED}", headers={"Authorization": ""}),
        await get(f"/streams/{created['id']}/events?last_event_id={MALFORMED}"),
        await get(f"/streams/{created['id']}/events?last_event_id={created['id']}:99"),
        await get(f"/sse?prompt={PROMPT}&temperature={MALFORMED}"),
    ]
    assert {answer.is_client_error for answer in answers} == {True}


async def _lose_a_sandbox(function: Function, model: Chat, told: Told) -> None:
    reader = Reader(function, SSE)
    first = await model.next()
    await first.think(THINKING)
    await first.say_up_to(100)
    await reader.has_read(TEXT[:100])
    told.events(reader)
    (writer,) = await function.serving("/sse")
    await function.do("kill", writer)
    await (await model.next()).finish()
    events = await reader.end()
    assert text(events) == TEXT


async def _break_off(function: Function, model: Chat, told: Told) -> None:
    created = told.created((await function.http.post("/streams", json=BODY)).json())
    reader = Reader(function, created["events_url"])
    conversation = await model.next()
    await conversation.say_up_to(100)
    await reader.has_read(TEXT[:100])
    conversation.cut()
    await (await model.next()).finish()
    await reader.end()
    snapshot = (await function.http.get(created["url"])).json()
    assert snapshot["answer"] == TEXT


async def _be_refused_by_the_model(function: Function, model: Chat, told: Told) -> None:
    reader = Reader(function, SSE)
    conversation = await model.next()
    conversation.refuse(httpx.codes.UNAUTHORIZED, f"Incorrect key {KEY} for {PROMPT}")
    events = await reader.end()
    told.events(reader)
    assert events[-1].data["code"] == "provider_denied"


async def _cancel(function: Function, model: Chat, told: Told) -> None:
    post = function.http.post("/streams?stream=true", json=BODY)
    reading = asyncio.create_task(post)
    conversation = await model.next()
    await conversation.say_up_to(50)
    created = told.created((await function.http.post("/streams", json=BODY)).json())
    answer = await function.http.post(created["cancel_url"])
    assert answer.json()["status"] == "cancelled"
    await conversation.finish()
    assert "event: done" in (await reading).text


async def _lose_the_table(function: Function) -> None:
    client(function.dynamodb_url).delete_table(TableName="StreamTable")
    answer = await function.http.post("/streams", json=BODY)
    assert answer.json()["error"]["code"] == "log_refused"


def _metrics(function: Function) -> list[dict[str, Any]]:
    return [entry for entry in log_entries(function.lines) if "_aws" in entry]


async def test_every_line_of_a_generation_says_whose_it_is(serve: Serve, model: Chat) -> None:
    """The invocation that it belongs to, enough of its stream's id, and its attempt."""
    async with serve() as function:
        reader = Reader(function, SSE)
        first = await model.next()
        await first.say_up_to(100)
        await reader.has_read(TEXT[:100])
        (writer,) = await function.serving("/sse")
        await function.do("kill", writer)
        (await model.next()).cut()
        await (await model.next()).finish()
        events = await reader.end()

    stream_id = events[0].data["stream_id"]
    entries = [e for e in log_entries(function.lines) if e.get("service") == "a-stack"]
    told = [e for e in entries if e.get("message") in {"claim", "the producer failed", "ended"}]
    assert [(e["message"], e["attempt"]) for e in told] == [
        ("claim", 2),
        ("the producer failed", 2),
        ("ended", 2),
    ]
    assert {e["stream"] for e in told} == {stream_id[:8]}
    (request_id,) = {e["request_id"] for e in told}
    assert any(
        line.endswith(f"START RequestId: {request_id} Version: $LATEST") for line in function.lines
    )


async def test_metrics_reach_the_log_as_lines_of_their_own(serve: Serve, model: Chat) -> None:
    """Bare JSON, as CloudWatch takes it, in whichever format the rest of the log is."""
    async with serve() as function:
        reader = Reader(function, SSE)
        await (await model.next()).finish()
        await reader.end()

    started, spent, ended = _metrics(function)
    assert started["ColdStart"] == [1]
    assert list(spent.keys() & {"TokensSpent", "Appends"}) == ["TokensSpent"]
    assert ended["service"] == spent["service"] == "a-stack"
    assert {"TimeToFirstToken", "Appends", "AppendLatency"} <= ended.keys()
    assert {*ended} & {"level", "message", "logger"} == set()


@pytest.mark.limits
async def test_a_request_over_a_limit_is_counted_under_its_code(serve: Serve) -> None:
    """Also where an EventSource must be answered 200."""
    async with serve(REQUESTS_PER_MINUTE="1") as function:
        answers = [await function.http.post("/streams", json=BODY) for _ in range(2)]
        events = await function.http.get(SSE)

    assert [answer.status_code for answer in answers] == [201, 429]
    assert "event: error" in events.text
    refusals = [entry for entry in _metrics(function) if "Refusals" in entry]
    assert [entry["code"] for entry in refusals] == ["rate_limited", "rate_limited"]
