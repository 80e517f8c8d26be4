"""Limits of a running function: refusals a client can live with, and settling once."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.flows.conftest import Function, Gate, Start
from tests.flows.heard import assert_each_once, text
from tests.store import client, moto

pytestmark = pytest.mark.anyio

PROMPT = "x" * 30
LONGEST = 100
RESERVED = 30 + 16 + LONGEST
LIMITS = {"TOKENS_PER_DAY": "100000", "TOTAL_TOKENS_PER_DAY": "1000000"}


@pytest.fixture
def dynamodb_url() -> Iterator[str]:
    """A table in which nothing has been counted."""
    with moto() as url:
        yield url


def used(function: Function) -> list[int]:
    """The number of tokens that are counted, for the only principal and for all."""
    table = client(function.dynamodb_url)
    items = table.scan(TableName="StreamTable", FilterExpression="attribute_exists(used)")["Items"]
    return [int(item["used"]["N"]) for item in items]


async def settled(function: Function) -> list[int]:
    """The tokens that are counted once no sandbox is at work any more."""
    async with asyncio.timeout(20):
        while any(each["invocations"] for each in await function.sandboxes()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return used(function)


def sse_events(body: str) -> list[dict[str, str]]:
    """The fields of every block of a response that is over."""
    blocks = [block for block in body.split("\n\n") if block]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


async def test_over_a_limit_a_post_is_told_when_to_come_back(start: Start) -> None:
    async with start({"REQUESTS_PER_MINUTE": "1", "DEMO_TOKENS": "3"}, sandboxes=1) as function:
        answers = [await function.http.post("/streams", json={"prompt": PROMPT}) for _ in range(3)]

    # The minute may have ended in between, and another one begun.
    refused = [answer for answer in answers if answer.status_code != httpx.codes.CREATED]
    assert refused
    for answer in refused:
        assert answer.status_code == httpx.codes.TOO_MANY_REQUESTS
        assert answer.json()["error"]["code"] == "rate_limited"
        assert 1 <= int(answer.headers["retry-after"]) <= 60


async def test_readers_that_leave_at_once_leave_room_for_others(
    start: Start, gate: tuple[Gate, dict[str, str]]
) -> None:
    """Each holds a sandbox on, as on Lambda, which does not tell that a client has left."""
    _, env = gate
    async with start({**env, "STREAM_CONNECTS_PER_MINUTE": "1"}, sandboxes=4) as function:
        created = await function.create(PROMPT, max_tokens=LONGEST)
        for _ in range(6):
            async with function.http.stream("GET", created["events_url"]) as response:
                assert response.status_code == httpx.codes.OK
                await anext(response.aiter_raw())

        # The minute may have ended meanwhile, and let one more in.
        path = f"/streams/{created['id']}/events"
        assert len(await function.serving(path)) in {1, 2}
        for method, url in (("GET", "/healthz"), ("POST", created["cancel_url"])):
            assert (await function.http.request(method, url)).status_code == httpx.codes.OK


async def test_over_a_limit_an_event_source_is_told_too(start: Start) -> None:
    """It takes 429 for final, so this is a 200: an error, and when to try again."""
    url = f"/sse?prompt={PROMPT}&max_tokens={LONGEST}"
    async with start(
        {"TOKENS_PER_DAY": str(RESERVED), "DEMO_TOKENS": "3"}, sandboxes=1
    ) as function:
        await function.http.get(url)
        [counted_before] = await settled(function)
        answer = await function.http.get(url)
        [counted] = used(function)

    assert answer.status_code == httpx.codes.OK
    assert answer.headers["content-type"].startswith("text/event-stream")
    [event] = sse_events(answer.text)
    assert 1000 <= int(event["retry"]) <= 24 * 3600 * 1000
    assert event["event"] == "error"
    assert "id" not in event
    failure = json.loads(event["data"])
    assert (failure["code"], failure["retryable"]) == ("budget_spent", True)
    assert counted == counted_before


async def test_what_no_day_has_room_for_is_final(start: Start) -> None:
    async with start({"TOKENS_PER_DAY": str(RESERVED - 1)}, sandboxes=1) as function:
        body: dict[str, Any] = {"prompt": PROMPT, "max_tokens": LONGEST}
        for answer in (
            await function.http.post("/streams", json=body),
            await function.http.get("/sse", params=body),
        ):
            assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
            assert answer.json()["error"]["code"] == "beyond_budget"
            assert "retry-after" not in answer.headers


async def test_tokens_are_reserved_before_the_model_is_asked_and_settled_from_its_usage(
    start: Start,
) -> None:
    env = {**LIMITS, "DEMO_TOKENS": "20", "DEMO_TOKENS_PER_SECOND": "500"}
    async with start(env, sandboxes=2) as function:
        created = await function.create(PROMPT, max_tokens=LONGEST)
        assert used(function) == [RESERVED, RESERVED]

        events = await function.event_source(created["events_url"]).follow()
        usage = events[-1].data["usage"]

        assert await settled(function) == [usage["input_tokens"] + usage["output_tokens"]] * 2


async def test_an_answer_that_was_taken_over_is_settled_once(
    start: Start, gate: tuple[Gate, dict[str, str]]
) -> None:
    """Neither by the writer that was killed, nor twice."""
    model, env = gate
    async with start({**env, **LIMITS}, sandboxes=2) as function:
        created = await function.create(PROMPT, max_tokens=LONGEST)
        following = asyncio.create_task(function.event_source(created["events_url"]).follow())
        conversation = await model.next()
        await conversation.say("x" * 12)
        [writer] = await function.serving(f"/streams/{created['id']}/events")
        await has_said(function, created["id"], "x" * 12)
        await function.do("kill", writer)
        conversation = await model.next()
        await conversation.say("y" * 6)
        await conversation.finish()
        async with asyncio.timeout(30):
            events = await following

        assert_each_once(events)
        assert text(events) == "x" * 12 + "y" * 6
        usage = events[-1].data["usage"]
        reported = (usage["input_tokens"] or 0) + (usage["output_tokens"] or 0)
        # The killed attempt reported no cost, nor does the gate's model.
        assert reported == 0
        assert await settled(function) == [2 * RESERVED] * 2


async def has_said(function: Function, stream_id: str, answer: str) -> None:
    async with asyncio.timeout(10):
        while (await function.http.get(f"/streams/{stream_id}")).json()["answer"] != answer:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_cancelling_hides_nothing_of_what_a_model_may_have_cost(
    start: Start, gate: tuple[Gate, dict[str, str]]
) -> None:
    model, env = gate
    async with start({**env, **LIMITS}, sandboxes=3) as function:
        created = await function.create(PROMPT, max_tokens=LONGEST)
        following = asyncio.create_task(function.event_source(created["events_url"]).follow())
        conversation = await model.next()
        await conversation.say("x" * 30)
        await has_said(function, created["id"], "x" * 30)
        for _ in range(3):
            await function.http.post(created["cancel_url"])
        async with asyncio.timeout(20):
            await following

        assert await settled(function) == [RESERVED] * 2


async def test_an_answer_that_nobody_reads_costs_nothing_when_it_is_cancelled(
    start: Start,
) -> None:
    async with start(LIMITS, sandboxes=1) as function:
        created = await function.create(PROMPT, max_tokens=LONGEST)
        await function.http.post(created["cancel_url"])

        assert used(function) == [0, 0]


async def test_one_key_reserves_once_however_often_it_comes(start: Start) -> None:
    async with start({**LIMITS, "REQUESTS_PER_MINUTE": "1000"}, sandboxes=8) as function:
        headers = {"Idempotency-Key": "0123456789abcdef"}
        body: dict[str, Any] = {"prompt": PROMPT, "max_tokens": LONGEST}
        posts = (function.http.post("/streams", json=body, headers=headers) for _ in range(8))
        answers = await asyncio.gather(*posts)

        assert len({answer.json()["id"] for answer in answers}) == 1
        # Two counters of tokens, and those of requests: the minute may have changed meanwhile.
        counted = await settled(function)
        tokens = [count for count in counted if count > len(answers)]
        assert tokens == [RESERVED, RESERVED]
        assert sum(counted) - sum(tokens) == len(answers)
