"""Connections that break, sandboxes that end: what OpenAI's Python client has in the end."""

import asyncio
import itertools
import random
from dataclasses import replace
from typing import Any

import openai as sdk
import pytest

from tests.at_once import for_each
from tests.flows.conftest import Function
from tests.store import client as dynamodb
from tests.wires.cutting import How, cutting
from tests.wires.openai_api.asking import complete, respond
from tests.wires.openai_api.conftest import Serve, Served, client
from tests.wires.openai_api.exactness import assert_exact
from tests.wires.openai_api.losing import losing

pytestmark = pytest.mark.anyio

KILLS = 30
KILLED_AT_ONCE = 5
MESSAGES: Any = [{"role": "user", "content": "hello"}]
SHORT = {"DEMO_TOKENS": "6", "DEMO_TOKENS_PER_SECOND": "60"}


def generations(function: Function) -> int:
    """How many streams were begun."""
    service = dynamodb(function.dynamodb_url)
    (table,) = service.list_tables()["TableNames"]
    items = service.scan(TableName=table)["Items"]
    return sum(item.get("kind", {}).get("S") == "start" for item in items)


@pytest.mark.prove
@pytest.mark.parametrize("how", ["reset", "end"])
@pytest.mark.parametrize("model", ["demo", "clerk"])
async def test_a_response_that_is_cut_behind_each_event_in_turn(
    serve: Serve, model: str, how: How
) -> None:
    async with serve(SHORT) as served:
        whole = await respond(served.openai, model=model, input="hello")
        for events in range(1, len(whole.numbers) + 1):
            with cutting(served.url, after=events, how=how) as proxy:
                async with client(proxy.url) as openai:
                    heard = await respond(openai, model=model, input="hello")
            # Pieces of text are merged as they come, so an answer may have fewer events.
            assert proxy.cuts == (events <= len(heard.numbers))
            await assert_exact(served, heard)
            assert heard.response.output_text == whole.response.output_text


async def test_a_response_that_is_cut_behind_every_event(serve: Serve) -> None:
    async with serve(SHORT) as served:
        with cutting(served.url, after=itertools.repeat(1)) as proxy:
            async with client(proxy.url) as openai:
                heard = await respond(openai, model="demo", input="hello")
        assert proxy.cuts == len(heard.numbers)
        await assert_exact(served, heard)


@pytest.mark.prove
async def test_a_completion_that_is_cut_behind_each_chunk_in_turn(serve: Serve) -> None:
    async with serve(SHORT) as served:
        stream = await served.openai.chat.completions.create(
            stream=True, model="demo", messages=MESSAGES
        )
        chunks = [chunk async for chunk in stream]
        for number in range(len(chunks)):
            key = f"cut-behind-chunk-{number}"
            with cutting(served.url, after=number) as proxy:
                async with client(proxy.url) as openai:
                    id_, text, tries = await complete(openai, key, model="demo", messages=MESSAGES)
            # Merged as they come, there may be fewer chunks, and a cut behind the last one is none.
            assert tries == 1 + proxy.cuts or (tries == 1 and number > len(chunks) // 2)
            assert text == (await served.snapshot(id_))["answer"]


@pytest.mark.prove
@pytest.mark.timeout(240)
async def test_answers_longer_than_the_function_may_run(serve: Serve) -> None:
    env = {"DEMO_TOKENS": "240", "DEMO_TOKENS_PER_SECOND": "20"}
    async with serve(env, timeout=5) as served:
        heard = await respond(served.openai, model="demo", input="hello")
        await assert_exact(served, heard)
        assert heard.response.status == "completed"
        assert {error.code for error in heard.errors} == {"interrupted"}
        assert len(heard.errors) >= 2
        id_, text, tries = await complete(
            served.openai, "longer-than-the-function", model="demo", messages=MESSAGES
        )
        assert text == (await served.snapshot(id_))["answer"] == heard.response.output_text
        assert tries >= 3


@pytest.mark.prove
@pytest.mark.timeout(240)
async def test_answers_in_one_piece_longer_than_the_function_may_run(serve: Serve) -> None:
    env = {"DEMO_TOKENS": "200", "DEMO_TOKENS_PER_SECOND": "20"}
    async with serve(env, timeout=5) as served:
        response = await served.openai.responses.create(model="demo", input="hello")
        statuses = [response.status]
        async with asyncio.timeout(60):
            while response.status == "in_progress":
                response = await served.openai.responses.retrieve(response.id)
                statuses.append(response.status)
        assert statuses[0] == "in_progress"
        assert response.output_text == (await served.snapshot(response.id))["answer"]
        patient = served.openai.with_options(max_retries=9)
        completion = await patient.chat.completions.create(model="demo", messages=MESSAGES)
        assert completion.choices[0].message.content == response.output_text
        assert generations(served.function) == 2


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kills", [3, pytest.param(KILLS, marks=pytest.mark.prove)])
async def test_killing_the_writer_at_any_moment(serve: Serve, kills: int) -> None:
    """SIGKILL at random moments, of responses and of completions."""
    moments = [random.uniform(0.05, 1.2) for _ in range(kills)]  # noqa: S311
    env = {"DEMO_TOKENS": "60", "DEMO_TOKENS_PER_SECOND": "60"}
    async with serve(env, sandboxes=4 * KILLED_AT_ONCE) as served:
        # Among so many kills, some hit a sandbox that has not begun to answer: these are 502.
        patient = replace(served, openai=served.openai.with_options(max_retries=9))

        async def one(number: int) -> None:
            ask = _killed_response if number % 2 else _killed_completion
            while not await ask(patient, f"kill {number} — naïve 🚀", moments[number]):
                pass  # The answer was over before: that moment is still to come.

        await for_each(range(kills), one, at_once=KILLED_AT_ONCE)


async def _killed_response(served: Served, prompt: str, moment: float) -> bool:
    ids: asyncio.Queue[str] = asyncio.Queue()

    def created(event: Any) -> None:
        if event.type == "response.created":
            ids.put_nowait(event.response.id)

    answering = asyncio.create_task(respond(served.openai, created, model="demo", input=prompt))
    async with asyncio.timeout(60):
        await ids.get()
        killed = await _kill_at(served, moment, answering)
        heard = await answering
    await assert_exact(served, heard)
    assert heard.response.status == "completed"
    return killed


async def _killed_completion(served: Served, prompt: str, moment: float) -> bool:
    begun = asyncio.Event()
    key = f"key-{random.random()}"  # noqa: S311
    messages = [{"role": "user", "content": prompt}]
    answering = asyncio.create_task(
        complete(served.openai, key, lambda _: begun.set(), model="demo", messages=messages)
    )
    async with asyncio.timeout(60):
        await begun.wait()
        killed = await _kill_at(served, moment, answering)
        id_, text, _ = await answering
    assert text == (await served.snapshot(id_))["answer"]
    return killed


async def _kill_at(served: Served, moment: float, answering: asyncio.Task[Any]) -> bool:
    """Kill a sandbox at work, at this moment, unless the answer is over."""
    await asyncio.sleep(moment)
    if answering.done():
        return False
    busy = await served.writing()
    if not busy:
        return False
    name = random.choice(busy)  # noqa: S311
    answer = await served.function.http.post(f"/_local/sandboxes/{name}/kill")
    return answer.is_success  # Another kill may have been faster.


async def test_an_answer_that_starts_over(serve: Serve) -> None:
    """The first attempt's text is dropped: a response says so, a completion cannot."""
    async with serve(sandboxes=6) as served:
        said = asyncio.Event()

        def called(event: Any) -> None:
            if event.type == "response.output_text.delta" and "Half-way" in event.delta:
                said.set()

        answering = asyncio.create_task(
            respond(served.openai, called, model="forgetful", input="hello")
        )
        async with asyncio.timeout(60):
            await said.wait()
            await served.kill_writers()
            heard = await answering
        await assert_exact(served, heard)
        assert heard.response.output_text.startswith("Attempt 2")


async def test_a_completion_that_starts_over_is_an_error_and_then_exact(serve: Serve) -> None:
    async with serve(sandboxes=6) as served:
        said = asyncio.Event()

        def chunk(value: Any) -> None:
            if "Half-way" in (value.choices[0].delta.content or ""):
                said.set()

        answering = asyncio.create_task(
            complete(
                served.openai, "starts-over-and-over", chunk, model="forgetful", messages=MESSAGES
            )
        )
        async with asyncio.timeout(60):
            await said.wait()
            await served.kill_writers()
            id_, text, tries = await answering
        assert tries > 1
        assert text == (await served.snapshot(id_))["answer"]
        assert text.startswith("Attempt 2")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_lost_answer_starts_no_second_generation(serve: Serve, *, stream: bool) -> None:
    ask: Any = {"model": "demo", "stream": stream}
    async with serve(SHORT) as served:
        async with losing(served.url, 2) as url, client(url) as openai:
            response: Any = await openai.responses.create(input="hello", **ask)
            if stream:
                response = [event async for event in response][-1].response
        assert response.output_text == (await served.snapshot(response.id))["answer"]
        assert generations(served.function) == 1
        async with losing(served.url, 2) as url, client(url) as openai:
            completion: Any = await openai.chat.completions.create(messages=MESSAGES, **ask)
            if stream:
                completion = [chunk async for chunk in completion][-1]
        assert (await served.snapshot(completion.id))["answer"] == response.output_text
        assert generations(served.function) == 2


async def test_the_same_question_again_is_another_generation(serve: Serve) -> None:
    async with serve(SHORT) as served:
        ids = {
            (await served.openai.responses.create(model="demo", input="hello")).id for _ in range(2)
        }
        assert len(ids) == 2


async def test_a_key_that_comes_with_another_question_is_refused(serve: Serve) -> None:
    async with serve(SHORT) as served:
        headers = {"Idempotency-Key": "the-same-key-twice"}
        await served.openai.responses.create(model="demo", input="a", extra_headers=headers)
        with pytest.raises(sdk.BadRequestError) as refused:
            await served.openai.responses.create(model="demo", input="b", extra_headers=headers)
        assert refused.value.code == "idempotency_key_reused"


@pytest.mark.prove
async def test_a_poll_takes_over_from_a_writer_that_was_killed(serve: Serve) -> None:
    async with serve({"DEMO_TOKENS": "60", "DEMO_TOKENS_PER_SECOND": "30"}, sandboxes=4) as served:
        queued = await served.openai.responses.create(model="demo", input="hello", background=True)
        no_retries = served.openai.with_options(max_retries=0)
        poll = asyncio.create_task(no_retries.responses.retrieve(queued.id))
        async with asyncio.timeout(60):
            while not (await served.snapshot(queued.id))["answer"]:
                pass
            seen = await served.openai.responses.retrieve(queued.id)
            assert seen.status == "in_progress"
            assert seen.output_text, "a poll beside the writer does not wait"
            await served.kill_writers()
            with pytest.raises(sdk.APIError):
                await poll
            response = seen
            while response.status in ("queued", "in_progress"):
                response = await served.openai.responses.retrieve(queued.id)
        assert response.output_text == (await served.snapshot(queued.id))["answer"]
