"""DynamoDB that loses answers, throttles, or is gone, while sandboxes stream."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from local.dynamodb_local import dynamodb_local
from tests.flows.conftest import Gate, Start
from tests.flows.heard import assert_each_once, text
from tests.store import Fault, FaultyStore, faulty, moto

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store() -> AsyncIterator[FaultyStore]:
    with moto() as url:
        async with faulty(url) as proxy:
            yield proxy


@pytest.mark.parametrize("fault", [Fault.THROTTLE, Fault.FAIL, Fault.LOSE_ANSWER])
async def test_two_bad_seconds_only_delay_the_answer(
    start: Start, gate: tuple[Gate, dict[str, str]], store: FaultyStore, fault: Fault
) -> None:
    model, env = gate
    async with start(env, sandboxes=3, dynamodb_url=store.url) as function:
        heard = asyncio.Event()
        source = function.event_source(
            "/sse?prompt=hi", lambda event: heard.set() if event.name == "answer" else None
        )
        following = asyncio.create_task(source.follow())
        conversation = await model.next()
        await conversation.say("before ")
        async with asyncio.timeout(10):
            await heard.wait()

        recovers_at = time.monotonic() + 2
        store.choose = lambda _: fault if time.monotonic() < recovers_at else Fault.NONE
        await conversation.say("meanwhile ")
        await conversation.say("after")
        await conversation.finish()
        async with asyncio.timeout(30):
            events = await following

    assert_each_once(events)
    assert text(events) == "before meanwhile after"
    assert events[-1].name == "done"
    assert model.waiting == 0, "the same writer went on"


async def test_a_store_that_is_gone_for_longer_than_a_lease_only_delays_the_answer(
    start: Start, gate: tuple[Gate, dict[str, str]], store: FaultyStore
) -> None:
    """The reader's response goes on, and the model is not asked again."""
    model, env = gate
    async with start(env, sandboxes=3, dynamodb_url=store.url) as function:
        heard = asyncio.Event()
        source = function.event_source(
            "/sse?prompt=hi", lambda event: heard.set() if event.name == "answer" else None
        )
        following = asyncio.create_task(source.follow())
        conversation = await model.next()
        await conversation.say("before ")
        async with asyncio.timeout(10):
            await heard.wait()

        store.choose = lambda _: Fault.REFUSE
        await conversation.say("and after")
        await conversation.finish()
        await asyncio.sleep(10)
        assert text(source.events) == "before "
        store.choose = lambda _: Fault.NONE
        async with asyncio.timeout(30):
            events = await following

    assert_each_once(events)
    assert text(events) == "before and after"
    assert source.connections == 2, "once, and to be told that there is no more"
    assert model.waiting == 0, "the same writer went on"


async def test_a_store_that_is_gone_for_good_ends_in_an_end_to_retry_never_in_done(
    start: Start, gate: tuple[Gate, dict[str, str]], store: FaultyStore
) -> None:
    """Its writer tries until its invocation must end."""
    model, env = gate
    async with start(env, sandboxes=3, timeout=10, dynamodb_url=store.url) as function:
        heard = asyncio.Event()
        source = function.event_source(
            "/sse?prompt=hi", lambda event: heard.set() if event.name == "answer" else None
        )
        following = asyncio.create_task(source.follow())
        conversation = await model.next()
        await conversation.say("before")
        async with asyncio.timeout(10):
            await heard.wait()

        store.choose = lambda _: Fault.REFUSE
        await conversation.say("lost to nobody")
        await conversation.finish()
        async with asyncio.timeout(40):
            while source.connections < 3:  # noqa: ASYNC110 - as a person would, watching it try
                await asyncio.sleep(0.1)

        assert source.retry_ms == 2000
        assert not following.done(), "an EventSource still tries"
        assert {event.name for event in source.events} <= {"start", "answer", "heartbeat"}
        assert text(source.events) == "before"

        store.choose = lambda _: Fault.NONE
        second = await model.next()
        assert second.continue_from == "before"
        await second.say(" and after")
        await second.finish()
        async with asyncio.timeout(30):
            events = await following

    assert_each_once(events)
    assert text(events) == "before and after"


@pytest.mark.dynamodb_local
async def test_the_function_runs_on_amazons_own_dynamodb_for_one_machine(start: Start) -> None:
    """Two sandboxes compete for one idempotency key, and it decides which was first."""
    with dynamodb_local() as url:
        async with start(sandboxes=3, dynamodb_url=url) as function:
            headers = {"Idempotency-Key": "a-key-of-sixteen"}
            answers = await asyncio.gather(
                *(
                    function.http.post("/streams", json={"prompt": "hi"}, headers=headers)
                    for _ in range(3)
                )
            )
            (events_url,) = {answer.json()["events_url"] for answer in answers}
            async with asyncio.timeout(30):
                events = await function.event_source(events_url).follow()

    assert_each_once(events)
    assert events[-1].name == "done"
