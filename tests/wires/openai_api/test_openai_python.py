"""OpenAI's Python client, as it comes, against a function URL on this machine."""

import asyncio
import json
from typing import Any

import openai as sdk
import pytest

from tests.wires.openai_api.asking import complete, respond
from tests.wires.openai_api.conftest import Serve
from tests.wires.openai_api.exactness import assert_exact

pytestmark = pytest.mark.anyio


async def test_a_streamed_response(serve: Serve) -> None:
    async with serve() as served:
        heard = await respond(served.openai, model="demo", input="hello")
        await assert_exact(served, heard)
        assert heard.response.status == "completed"
        assert heard.response.usage is not None
        assert heard.response.usage.output_tokens > 20


async def test_a_response_in_one_piece_is_the_same_when_it_is_retrieved(serve: Serve) -> None:
    async with serve() as served:
        response = await served.openai.responses.create(
            model="demo", input="hello", instructions="Be brief.", metadata={"a": "b"}
        )
        again = await served.openai.responses.retrieve(response.id)
        assert again.to_dict() == response.to_dict()
        assert (response.status, response.instructions) == ("completed", "Be brief.")
        assert response.metadata == {"a": "b"}
        snapshot = await served.snapshot(response.id)
        assert response.output_text == snapshot["answer"]


async def test_calls_of_the_server_come_with_their_outputs(serve: Serve) -> None:
    async with serve() as served:
        heard = await respond(served.openai, model="clerk", input="hello")
        await assert_exact(served, heard)
        types = [item.type for item in heard.response.output]
        assert types == [
            *("reasoning", "message", "function_call", "function_call"),
            *("function_call_output", "function_call_output", "message", "message"),
        ]


async def test_the_helpers_take_the_order(serve: Serve) -> None:
    async with serve() as served:
        for model in ("demo", "clerk"):
            async with served.openai.responses.stream(model=model, input="hello") as stream:
                async for _ in stream:
                    pass
                response = await stream.get_final_response()
            snapshot = await served.snapshot(response.id)
            assert response.output_text == snapshot["answer"]
            async with served.openai.chat.completions.stream(
                model=model, messages=[{"role": "user", "content": "hello"}]
            ) as chat:
                async for _ in chat:
                    pass
                completion = await chat.get_final_completion()
            snapshot = await served.snapshot(completion.id)
            assert completion.choices[0].message.content == snapshot["answer"]
            assert completion.choices[0].finish_reason == "stop"


async def test_the_helper_replays_a_response_that_is_over(serve: Serve) -> None:
    async with serve() as served:
        heard = await respond(served.openai, model="clerk", input="hello")
        async with served.openai.responses.stream(response_id=heard.id, starting_after=3) as stream:
            numbers = [event.sequence_number async for event in stream]
            response = await stream.get_final_response()
        assert numbers == heard.numbers[4:]
        assert response.output_text == heard.response.output_text
        rest = await served.openai.responses.retrieve(
            heard.id, stream=True, starting_after=heard.numbers[-1]
        )
        assert [event async for event in rest] == []


async def test_a_response_in_the_background_is_run_by_those_who_ask_for_it(serve: Serve) -> None:
    async with serve() as served:
        response = await served.openai.responses.create(
            model="demo", input="hello", background=True
        )
        assert (response.status, response.background, response.output) == ("queued", True, [])
        async with asyncio.timeout(30):
            while response.status in ("queued", "in_progress"):
                response = await served.openai.responses.retrieve(response.id)
        assert (response.status, response.background) == ("completed", True)
        assert response.output_text == (await served.snapshot(response.id))["answer"]


async def test_cancelling_ends_a_response(serve: Serve) -> None:
    async with serve({"DEMO_TOKENS": "2000", "DEMO_TOKENS_PER_SECOND": "50"}) as served:
        ids: asyncio.Queue[str] = asyncio.Queue()

        def begun(event: Any) -> None:
            if event.type == "response.created":
                ids.put_nowait(event.response.id)

        answering = asyncio.create_task(respond(served.openai, begun, model="demo", input="hello"))
        async with asyncio.timeout(30):
            id_ = await ids.get()
            cancelled = await served.openai.responses.cancel(id_)
            heard = await answering
        assert cancelled.status == heard.response.status == "cancelled"
        assert (await served.openai.responses.cancel(id_)).to_dict() == cancelled.to_dict()
        await assert_exact(served, heard)
        retrieved = await served.openai.responses.retrieve(id_)
        assert retrieved.to_dict() == heard.response.to_dict()


async def test_errors_become_the_right_exceptions(serve: Serve) -> None:
    async with serve() as served:
        ask = served.openai.responses.create
        with pytest.raises(sdk.NotFoundError) as missing:
            await ask(model="gpt-none", input="hello")
        assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
        assert missing.value.request_id
        with pytest.raises(sdk.BadRequestError) as refused:
            await ask(model="demo", input="hello", top_p=0.5)
        assert refused.value.param == "top_p"
        with pytest.raises(sdk.BadRequestError) as unknown:
            await ask(model="demo", input="hello", previous_response_id="resp_" + "x" * 32)
        assert unknown.value.code == "previous_response_not_found"
        assert unknown.value.param == "previous_response_id"
        with pytest.raises(sdk.NotFoundError):
            await served.openai.responses.retrieve("resp_" + "x" * 32)


async def test_a_follow_up_continues_the_conversation(serve: Serve) -> None:
    async with serve() as served:
        first = await respond(served.openai, model="demo", input="What is first?")
        heard = await respond(
            served.openai,
            model="demo",
            input=[{"role": "user", "content": [{"type": "input_text", "text": "And then?"}]}],
            previous_response_id=first.id,
        )
        await assert_exact(served, heard)
        assert heard.response.previous_response_id == first.id
        assert "What is first?" in heard.response.output_text, "the demo quotes the turn before"
        items = await served.openai.responses.input_items.list(heard.id, order="asc")
        listed: list[Any] = items.data
        said = [(item.role, item.content[0].text) for item in listed]
        assert said == [
            ("user", "What is first?"),
            ("assistant", first.response.output_text),
            ("user", "And then?"),
        ]
        newest = await served.openai.responses.input_items.list(heard.id, limit=1)
        assert [item.id async for item in newest] == [item.id for item in items.data[::-1]]


async def test_a_response_that_is_under_way_cannot_be_followed_yet(serve: Serve) -> None:
    async with serve() as served:
        queued = await served.openai.responses.create(model="demo", input="a", background=True)
        with pytest.raises(sdk.BadRequestError) as refused:
            await served.openai.responses.create(
                model="demo", input="b", previous_response_id=queued.id
            )
        assert refused.value.code == "previous_response_in_progress"
        assert refused.value.param == "previous_response_id"


async def test_a_deleted_response_is_gone(serve: Serve) -> None:
    async with serve() as served:
        heard = await respond(served.openai, model="demo", input="hello")
        await served.openai.responses.delete(heard.id)
        with pytest.raises(sdk.NotFoundError) as missing:
            await served.openai.responses.retrieve(heard.id)
        assert missing.value.code == "response_not_found"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_failure_is_the_end_of_a_response(serve: Serve, when: str) -> None:
    async with serve() as served:
        heard = await respond(served.openai, model="failing", input=when)
        await assert_exact(served, heard)
        assert heard.response.status == "failed"
        error: Any = heard.response.error
        assert (error.code, error.message) == ("broken", "It broke.")
        whole = await served.openai.responses.create(model="failing", input=when)
        assert (whole.status, whole.output_text) == ("failed", heard.response.output_text)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_failure_of_a_completion_is_raised_and_not_tried_again(
    serve: Serve, when: str
) -> None:
    async with serve() as served:
        ask: Any = {"model": "failing", "messages": [{"role": "user", "content": when}]}
        text = ""
        stream = await served.openai.chat.completions.create(stream=True, **ask)
        with pytest.raises(sdk.APIError) as failed:  # noqa: PT012 - some text comes before
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
        assert failed.value.code == "broken"
        assert text == ("Some text" if when == "after" else "")
        with pytest.raises(sdk.InternalServerError) as whole:
            await served.openai.chat.completions.create(**ask)
        assert whole.value.code == "broken"
        assert whole.value.response.headers["x-should-retry"] == "false"


async def test_a_completion(serve: Serve) -> None:
    async with serve() as served:
        ask: Any = {
            "model": "demo",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "hello"},
            ],
        }
        whole = await served.openai.chat.completions.create(**ask)
        id_, text, _ = await complete(served.openai, "key-of-a-completion", **ask)
        assert text == whole.choices[0].message.content
        assert text == (await served.snapshot(id_))["answer"]
        assert whole.usage is not None
        thinking = (whole.choices[0].message.model_extra or {})["reasoning_content"]
        assert thinking == (await served.snapshot(whole.id))["thinking"]
        counted = await served.openai.chat.completions.create(
            stream=True, stream_options={"include_usage": True}, **ask
        )
        chunks = [chunk async for chunk in counted]
        assert chunks[-1].usage == whole.usage
        assert not any(chunk.usage for chunk in chunks[:-1])


async def test_a_completion_tells_the_calls_of_the_server(serve: Serve) -> None:
    async with serve() as served:
        ask: Any = {"model": "clerk", "messages": [{"role": "user", "content": "hello"}]}
        completion = await served.openai.chat.completions.create(**ask)
        (choice,) = completion.choices
        calls: Any = choice.message.tool_calls
        assert [call.function.name for call in calls] == ["look", "fail"]
        assert json.loads(calls[0].function.arguments) == {"at": "naïve 🚀"}
        assert choice.finish_reason == "stop"


async def test_models_are_listed_and_so_are_agents(serve: Serve) -> None:
    async with serve() as served:
        names = [model.id async for model in served.openai.models.list()]
        assert names == ["demo", "chat", "clerk", "failing", "forgetful"]
        assert (await served.openai.models.retrieve("clerk")).owned_by == "agent"
        with pytest.raises(sdk.NotFoundError) as missing:
            await served.openai.models.retrieve("gpt-none")
        assert missing.value.code == "model_not_found"


@pytest.mark.access
async def test_a_wrong_token_is_an_authentication_error(serve: Serve) -> None:
    async with serve({"API_TOKENS": json.dumps({"one": "a" * 32, "other": "b" * 32})}) as served:
        with pytest.raises(sdk.AuthenticationError):
            await served.openai.responses.create(model="demo", input="hello")
        with pytest.raises(sdk.AuthenticationError):
            await served.openai.models.list()
        mine, other = (served.openai.with_options(api_key=token * 32) for token in "ab")
        heard = await respond(mine, model="demo", input="hello")
        with pytest.raises(sdk.NotFoundError):
            await other.responses.retrieve(heard.id)
        with pytest.raises(sdk.NotFoundError):
            await other.responses.cancel(heard.id)
        with pytest.raises(sdk.NotFoundError):
            await other.responses.delete(heard.id)
        with pytest.raises(sdk.NotFoundError):
            await other.responses.input_items.list(heard.id)
        assert (await mine.responses.retrieve(heard.id)).status == "completed"


@pytest.mark.limits
async def test_a_day_without_tokens_is_a_rate_limit_that_is_not_tried_again(serve: Serve) -> None:
    async with serve({"TOKENS_PER_DAY": "200"}) as served:
        ask: Any = {"model": "demo", "input": "hello", "max_output_tokens": 50}
        with pytest.raises(sdk.RateLimitError) as limited:  # noqa: PT012 - the first one passes
            for _ in range(9):
                await served.openai.responses.create(**ask)
        assert limited.value.response.headers["x-should-retry"] == "false"
        assert limited.value.response.request.headers["x-stainless-retry-count"] == "0"
