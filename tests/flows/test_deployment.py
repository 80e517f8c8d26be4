"""The stack that `sam deploy` makes of the template, and a client's view of its function URL."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from app.models.base import Message, Request
from app.models.demo import DemoProvider
from tests.event_source import Event, EventSource
from tests.flows.deployment import Cloud, Stack, cloud, docker
from tests.flows.heard import assert_each_once, text

# Building and deploying take a minute on an idle machine, a cold container five seconds.
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.docker,
    pytest.mark.peers,
    pytest.mark.sam,
    pytest.mark.timeout(600),
]

PROMPT = "naïve café, 日本語"
MODEL = "amazon.nova-lite-v1:0"
PATIENCE = 60


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with cloud(tmp_path_factory.mktemp("cloud")) as started:
        yield started


@pytest.fixture(scope="module")
def stack(here: Cloud) -> Stack:
    """The template's own defaults, but for the processor: that of the image."""
    return here.deploy("streams", Architecture="x86_64")


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """A client that has the token which the stack has generated."""
    async with stack.client(token=stack.token) as client:
        yield client


@pytest.fixture
async def anyone(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """A client that has no tokens but those in the URLs it is given, as an EventSource."""
    async with stack.client() as client:
        yield client


def said_by_the_demo(max_tokens: int) -> str:
    request = Request(messages=(Message("user", PROMPT),), model="demo", max_tokens=max_tokens)
    return "".join(DemoProvider().script(request).answer[:max_tokens])


async def create(http: httpx.AsyncClient, max_tokens: int) -> dict[str, str]:
    answer = await http.post("/streams", json={"prompt": PROMPT, "max_tokens": max_tokens})
    assert answer.status_code == httpx.codes.CREATED, answer.text
    created: dict[str, str] = answer.json()
    return created


async def followed(http: httpx.AsyncClient, url: str, last_event_id: str = "") -> list[Event]:
    async with asyncio.timeout(PATIENCE):
        return await EventSource(http, url, last_event_id=last_event_id).follow()


async def test_status_and_headers_are_those_of_the_application(http: httpx.AsyncClient) -> None:
    """They travel in the prelude of the streamed response, which the URL's service consumes."""
    page = await http.get("/")
    missing = await http.get(f"/streams/{32 * 'a'}")
    created = await http.post("/streams", json={"prompt": PROMPT})

    assert page.status_code == httpx.codes.OK
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.startswith("<!doctype html>")
    assert missing.status_code == httpx.codes.NOT_FOUND
    assert missing.json()["error"]["code"] == "stream_not_found"
    assert created.status_code == httpx.codes.CREATED
    assert created.headers["location"] == f"/streams/{created.json()['id']}"


async def test_who_has_the_generated_token_may_create_and_nobody_else(
    http: httpx.AsyncClient, anyone: httpx.AsyncClient
) -> None:
    created = await create(http, max_tokens=1)
    stranger = await anyone.post("/streams", json={"prompt": PROMPT})
    without = await anyone.get(urlsplit(created["url"]).path)
    health = await anyone.get("/healthz")

    assert stranger.status_code == httpx.codes.UNAUTHORIZED
    assert stranger.headers["www-authenticate"] == "Bearer"
    assert without.status_code == httpx.codes.UNAUTHORIZED
    assert health.json()["access"] == "tokens"


async def test_an_answer_arrives_whole_and_each_event_once(
    http: httpx.AsyncClient, anyone: httpx.AsyncClient
) -> None:
    created = await create(http, max_tokens=20)

    head = (await anyone.get(created["events_url"])).headers
    events = await followed(anyone, created["events_url"])
    snapshot = (await anyone.get(created["url"])).json()

    assert head["content-type"].startswith("text/event-stream")
    assert head["cache-control"] == "no-store, no-transform"
    assert_each_once(events)
    assert text(events) == said_by_the_demo(20)
    assert events[-1].name == "done"
    assert snapshot["answer"] == text(events)


async def test_a_resumed_answer_goes_on_behind_the_last_event_received(
    http: httpx.AsyncClient, anyone: httpx.AsyncClient
) -> None:
    url = (await create(http, max_tokens=5))["events_url"]
    events = await followed(anyone, url)

    for position in (0, len(events) // 2, len(events) - 2):
        rest = await followed(anyone, url, events[position].id)
        assert [event.id for event in rest] == [event.id for event in events[position + 1 :]]
    over = await anyone.get(url, headers={"Last-Event-ID": events[-1].id})

    assert over.status_code == httpx.codes.NO_CONTENT
    assert over.content == b""


async def test_a_killed_containers_answer_is_continued_by_another_to_the_character(
    here: Cloud, stack: Stack, http: httpx.AsyncClient, anyone: httpx.AsyncClient
) -> None:
    """The reader of the killed one gets nothing: the emulator passes on complete responses only."""
    created = await create(http, max_tokens=100)
    first = asyncio.create_task(anyone.get(created["events_url"]))
    written: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while written.count("answer") < 9:
            await asyncio.sleep(0.1)
            written = await asyncio.to_thread(stack.kinds, created["id"])
    docker("kill", *here.containers())
    broken = await first
    events = await followed(anyone, created["events_url"])

    assert broken.status_code == httpx.codes.BAD_GATEWAY
    assert_each_once(events)
    assert text(events) == said_by_the_demo(100)
    first_claim, second_claim = [event for event in events if event.name == "claim"]
    assert first_claim.seq < len(written) <= second_claim.seq
    assert second_claim.data == {"attempt": 2, "continued": "prefill"}


@pytest.mark.provider("bedrock")
async def test_bedrock_is_asked_where_the_parameters_say_so(here: Cloud) -> None:
    stack = here.deploy(
        "bedrock",
        Architecture="x86_64",
        Provider="bedrock",
        Models=MODEL,
        BedrockModelArns=f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}",
    )

    async with stack.client(token=stack.token) as http:
        health = (await http.get("/healthz")).json()
        events = await followed(http, (await create(http, max_tokens=99))["events_url"])

    assert (health["provider"], health["models"]) == ("bedrock", [MODEL])
    assert_each_once(events)
    digest = hashlib.sha256(f"\n{PROMPT}".encode()).hexdigest()[:8]
    assert text(events) == f"[ministack mock nova {MODEL}] reply for prompt#{digest}"
    assert events[-1].data["usage"]["output_tokens"] > 0
