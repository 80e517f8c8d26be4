"""The faults that a story forgives. A story always ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus

import httpx
import pytest

from proof.chaos.faults import Fault
from proof.chaos.history import History
from proof.chaos.plan import Plan, Way, draw
from proof.chaos.sandboxes import Sandboxes
from proof.chaos.story import Outcome, Story
from proof.chaos.traffic import Traffic

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30)]

QUIET = replace(
    draw(1, 7),
    way=Way.SSE,
    puts={},
    queries={},
    connections=(),
    kill_after_send=frozenset(),
    cancel=None,
    duplicates=0,
    readers=1,
    hostile=False,
    stepping=False,
)
END = b"event: done\ndata: {}\nid: s:0\n\n"


def answer(status: int, body: bytes = b"", kind: str = "text/plain") -> bytes:
    """An HTTP response."""
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


EVENTS = answer(200, b"retry: 0\n" + END, "text/event-stream")
NOTHING_MORE = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def function(*answers: bytes, asked: list[str] | None = None) -> AsyncIterator[str]:
    """The URL of a function that gives one of these after another; `asked` takes the requests."""
    given = iter(answers)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            asked.append(head.partition(b" HTTP/")[0].decode())
        writer.write(next(given))
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def play(
    plan: Plan,
    url: str,
    *,
    history: History | None = None,
    traffic: Traffic | None = None,
    transport: httpx.MockTransport | None = None,
) -> Outcome:
    async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
        return await Story(
            plan,
            http=http,
            functions=[url],
            traffic=traffic or Traffic(),
            sandboxes=Sandboxes(http),
            history=history or History(),
            patience=10,
        ).run()


async def test_the_platforms_502_makes_the_page_begin_again() -> None:
    async with function(answer(502, b"Internal Server Error"), EVENTS, NOTHING_MORE) as url:
        outcome = await play(QUIET, url)

    assert outcome.wrong == []
    assert outcome.ended
    assert outcome.readers[0].gave_up == [502]
    assert len(outcome.readers[0].events) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_an_answer_of_the_applications_that_ends_an_event_source_is_wrong_and_ends_the_story(
    status: int,
) -> None:
    """No part of the story waits for the reader that was refused."""
    plan = replace(QUIET, readers=3, hostile=True, cancel=Fault.CANCEL)
    traffic = Traffic()
    traffic.cancel_wanted.set()
    async with function(answer(status, b'{"error": {"code": "log_unavailable"}}')) as url:
        outcome = await play(plan, url, traffic=traffic)

    (wrong,) = outcome.wrong
    assert wrong.startswith(f"a reader was refused: {status}: ")
    assert outcome.ended


LOG_IS_OUT = answer(503, b'{"error":{"code":"log_unavailable","mess', "application/json")


async def test_who_creates_and_reads_in_one_asks_until_there_is_something_to_resume() -> None:
    asked: list[str] = []
    plan = replace(QUIET, way=Way.STREAM)
    busy = answer(502, b"Internal Server Error")
    nothing = answer(200, b"retry: 0\n\n", "text/event-stream")
    async with function(LOG_IS_OUT, busy, nothing, EVENTS, NOTHING_MORE, asked=asked) as url:
        outcome = await play(plan, url)

    assert outcome.wrong == []
    assert outcome.ended
    assert asked == ["POST /streams?stream=true"] * 4 + ["GET /streams/s/events?last_event_id=s:0"]


async def test_whoever_has_the_key_must_come_to_one_stream() -> None:
    plan = replace(QUIET, way=Way.STREAM, duplicates=2)

    def other(request: httpx.Request) -> httpx.Response:
        again = b"another question" not in request.content
        return httpx.Response(201 if again else 422, json={"id": "another"})

    async with function(EVENTS, NOTHING_MORE) as url:
        outcome = await play(plan, url, transport=httpx.MockTransport(other))

    assert outcome.wrong == ["one Idempotency-Key made several streams: ['another', 's']"]


async def test_a_create_that_fails_is_wrong_and_ends_the_story() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(500, text="broken"))
    outcome = await play(replace(QUIET, way=Way.POST), "http://a", transport=transport)

    assert outcome.wrong == ["POST /streams: 500 broken"]
    assert outcome.readers == []


@pytest.mark.parametrize("way", list(Way))
async def test_what_breaks_in_a_story_is_told_and_breaks_nothing_else(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> Callable[[], None]:
        raise KeyError("mislaid")

    history = History()
    monkeypatch.setattr("proof.chaos.reader.Wire.open", broken)
    transport = httpx.MockTransport(lambda _: httpx.Response(201, json={"id": "s"}))
    plan = replace(QUIET, way=way)
    outcome = await play(plan, "http://a", history=history, transport=transport)

    assert outcome.wrong == ["KeyError: 'mislaid'"]
    assert not outcome.ended
    assert "Traceback" in history.of(plan.number)


async def test_a_stop_names_its_stream() -> None:
    traffic = Traffic()
    traffic.cancel_wanted.set()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"status": "cancelled"}))
    async with function(EVENTS, NOTHING_MORE) as url:
        plan = replace(QUIET, cancel=Fault.CANCEL)
        outcome = await play(plan, url, traffic=traffic, transport=transport)

    assert outcome.wrong == []
    assert outcome.stopped == "s"
    assert outcome.snapshot == {"status": "cancelled"}


@pytest.mark.parametrize("lives", [True, False])
async def test_a_kill_counts_only_if_it_hit_somebody(
    lives: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    history, traffic = History(), Traffic()
    traffic.writers["s", 0] = 12345
    monkeypatch.setattr(Sandboxes, "kill", lambda _, pid: lives and pid == 12345)
    async with function(EVENTS, NOTHING_MORE) as url:
        plan = replace(QUIET, kill_after_send=frozenset({0}))
        await play(plan, url, history=history, traffic=traffic)

    assert history.injected[Fault.KILL_AFTER_SEND] == len(traffic.killed) == int(lives)
