"""Tokens, from a provider in a real sandbox process to a client on a real socket."""

import asyncio

import httpx
import pytest
from httpx_sse import EventSource as Decoder

from tests.flows.conftest import Gate, Start, log_entries
from tests.flows.heard import assert_each_once, text

pytestmark = pytest.mark.anyio


async def test_a_token_is_with_the_client_before_the_provider_has_the_next(
    start: Start, gate: tuple[Gate, dict[str, str]]
) -> None:
    """The test is the model: it says the second word only when it has received the first."""
    model, env = gate
    async with start(env, sandboxes=1) as function:
        received: asyncio.Queue[str] = asyncio.Queue()
        source = function.event_source(
            "/sse?prompt=hi",
            lambda event: received.put_nowait(event.data["text"]) if "text" in event.data else None,
        )
        following = asyncio.create_task(source.follow())
        conversation = await model.next()
        for word in ("one", "two", "three"):
            await conversation.say(word)
            async with asyncio.timeout(5):
                assert await received.get() == word
        await conversation.finish()
        async with asyncio.timeout(10):
            events = await following

    assert_each_once(events)
    assert source.connections == 2, "the second is answered 204"


async def test_twenty_readers_of_one_stream_see_the_same_and_the_model_is_asked_once(
    start: Start, gate: tuple[Gate, dict[str, str]]
) -> None:
    model, env = gate
    async with start(env, sandboxes=20) as function:
        created = await function.create("hi")
        sources = [function.event_source(created["events_url"]) for _ in range(20)]
        following = [asyncio.create_task(source.follow()) for source in sources]
        conversation = await model.next()
        for number in range(20):
            await conversation.say(f"{number} ")
        await conversation.finish()
        async with asyncio.timeout(40):
            everything = await asyncio.gather(*following)
        assert model.waiting == 0

    for events in everything:
        assert_each_once(events)
        assert text(events) == "".join(f"{number} " for number in range(20))


@pytest.mark.parametrize(
    ("streams", "options"),
    [
        pytest.param(20, {"sandboxes": 20}, id="20 sandboxes"),
        pytest.param(64, {"sandboxes": 1, "concurrency": 64}, id="64 in one sandbox"),
    ],
)
async def test_streams_at_once_do_not_mix(
    start: Start, gate: tuple[Gate, dict[str, str]], streams: int, options: dict[str, int]
) -> None:
    """Neither in clients' answers nor in the log: each line names the request it belongs to."""
    model, env = gate
    async with start(env, **options) as function:
        prompts = [f"prompt-{number}" for number in range(streams)]
        sources = {
            prompt: function.event_source(f"/sse?prompt={prompt}&model=gated") for prompt in prompts
        }
        following = {
            prompt: asyncio.create_task(source.follow()) for prompt, source in sources.items()
        }
        conversations = [await model.next() for _ in prompts]
        for number in range(5):
            for conversation in conversations:
                await conversation.say(f"{conversation.prompt}:{number} ")
        for conversation in conversations:
            await conversation.finish()
        async with asyncio.timeout(40):
            results = {prompt: await task for prompt, task in following.items()}

    for prompt, events in results.items():
        assert_each_once(events)
        assert text(events) == "".join(f"{prompt}:{number} " for number in range(5))
    entries = [entry for entry in log_entries(function.lines) if entry["message"] == "ended"]
    assert {entry["stream"] for entry in entries} == {
        events[0].data["stream_id"][:8] for events in results.values()
    }
    assert len({entry["request_id"] for entry in entries}) == streams


async def test_frames_parse_without_an_empty_event(start: Start) -> None:
    """httpx-sse yields one for every block without data; official SDKs crash on it."""
    env = {"DEMO_TOKENS": "40", "DEMO_TOKENS_PER_SECOND": "200", "DEMO_FIRST_TOKEN_MS": "2500"}
    async with start(env, sandboxes=1) as function:
        async with function.http.stream("GET", "/sse?prompt=zwei%0AZeilen") as response:
            raw = b"".join([piece async for piece in response.aiter_raw()])
        again = httpx.Response(200, headers=response.headers, content=raw)
        events = list(Decoder(again).iter_sse())

    assert response.headers["content-type"].startswith("text/event-stream")
    assert all(event.data for event in events)
    assert {"heartbeat", "thinking", "answer", "done"} <= {event.event for event in events}
    for block in raw.decode().split("\n\n")[:-1]:
        names = [line.partition(":")[0] for line in block.split("\n")]
        fields = [name for name in names if name not in {"", "retry"}]
        assert fields == ["event", "data", "id"], block
