"""When an EventSource comes back, with which id, and when it gives up."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.event_source import EventSource, PermanentFailure

pytestmark = pytest.mark.anyio

EVENT_STREAM = {"Content-Type": "text/event-stream; charset=utf-8"}


class Breaking(httpx.AsyncByteStream):
    """A body that breaks off."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        raise httpx.ReadError("reset")


async def follow(*answers: httpx.Response) -> tuple[EventSource, list[str]]:
    """Follow a server that gives these answers; the ids it was asked with."""
    asked: list[str] = []
    given: Iterator[httpx.Response] = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Last-Event-ID", ""))
        return next(given)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        source = EventSource(http, "http://function/", retry_ms=0)
        await source.follow()
    return source, asked


async def test_a_connection_that_breaks_is_resumed_behind_the_last_whole_event() -> None:
    source, asked = await follow(
        httpx.Response(200, headers=EVENT_STREAM, stream=Breaking(b'data: {"a":1}\nid: s:0\n\nda')),
        httpx.Response(200, headers=EVENT_STREAM, stream=Breaking(b'data: {"a":2}\nid: s:1\n')),
        httpx.Response(200, headers=EVENT_STREAM, content=b'data: {"a":2}\nid: s:1\n\n'),
        httpx.Response(204),
    )

    assert asked == ["", "s:0", "s:0", "s:1"]
    assert [(event.seq, event.data) for event in source.events] == [(0, {"a": 1}), (1, {"a": 2})]


async def test_an_answer_that_only_says_when_to_come_back_is_obeyed() -> None:
    source, asked = await follow(
        httpx.Response(200, headers=EVENT_STREAM, content=b'retry: 0\ndata: {"a":1}\nid: s:0\n\n'),
        httpx.Response(200, headers=EVENT_STREAM, content=b"retry: 1\n"),
        httpx.Response(204),
    )

    assert asked == ["", "s:0", "s:0"]
    assert source.retry_ms == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, headers={"Content-Type": "application/json"}, text="no"),
        httpx.Response(502, text="no"),
        httpx.Response(503, headers={**EVENT_STREAM, "Retry-After": "2"}, text="no"),
        httpx.Response(500, stream=Breaking(b"no")),
    ],
)
async def test_any_other_answer_is_final(answer: httpx.Response) -> None:
    with pytest.raises(PermanentFailure) as failure:
        await follow(answer)

    assert failure.value.status == answer.status_code
    assert failure.value.text == "no"
