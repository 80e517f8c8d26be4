"""OpenAI's client in Node, as it comes, against a function URL on this machine."""

import asyncio
import itertools
import json
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from app.wires.openai.rendering import ResponseRendering
from durable_stream import Record
from tests.at_once import for_each
from tests.wires import node
from tests.wires.cutting import How, cutting
from tests.wires.logs import logs
from tests.wires.openai_api.adding_up import of_log, of_output, of_parts
from tests.wires.openai_api.conftest import Serve, Served
from tests.wires.openai_api.losing import losing

pytestmark = [pytest.mark.clients, pytest.mark.anyio]

SCRIPT = Path(__file__).with_name("node_client.mjs")
SHORT = {"DEMO_TOKENS": "4", "DEMO_TOKENS_PER_SECOND": "60"}
MESSAGES = [{"role": "user", "content": "hello"}]
KILLS = 30
KILLED_AT_ONCE = 5


async def printed(url: str, way: str, seconds: float = 60, **members: Any) -> list[Any]:
    """The values that the script prints."""
    async with node.running(SCRIPT, url, way, json.dumps(members), timeout=seconds) as script:
        return await script.rest()


async def assert_exact(served: Served, heard: dict[str, Any]) -> None:
    """The client's numbers have no gap, and its text and its parts are the server's."""
    assert heard["numbers"] == list(range(len(heard["numbers"])))
    snapshot = await served.snapshot(heard["response"]["id"])
    assert heard["text"] == snapshot["answer"]
    assert of_output(heard["response"]["output"]) == of_parts(snapshot["parts"])


@pytest.mark.parametrize("model", ["demo", "clerk"])
async def test_a_response(serve: Serve, model: str) -> None:
    async with serve() as served:
        *_, heard = await printed(served.url, "respond", model=model, input="hello")
        await assert_exact(served, heard)
        assert heard["response"]["status"] == "completed"
        assert heard["errors"] == []
        (whole,) = await printed(served.url, "create", model=model, input="hello")
        assert of_output(whole["output"]) == of_output(heard["response"]["output"])
        assert whole["output_text"] == heard["text"]


@pytest.mark.parametrize("model", ["demo", "clerk"])
async def test_the_helpers_take_the_order(serve: Serve, model: str) -> None:
    async with serve() as served:
        response, completion = await printed(served.url, "helpers", model=model, input="hello")
        snapshot = await served.snapshot(response["id"])
        assert of_output(response["output"]) == of_parts(snapshot["parts"])
        assert response["output_text"] == snapshot["answer"]
        assert completion["choices"][0]["message"]["content"] == snapshot["answer"]


@pytest.mark.prove
async def test_a_response_that_is_cut_behind_each_event_in_turn(serve: Serve) -> None:
    async with serve(SHORT) as served:
        *_, whole = await printed(served.url, "respond", model="demo", input="hello")
        for events in range(1, len(whole["numbers"]) + 1):
            how: How = "end" if events % 2 else "reset"
            with cutting(served.url, after=events, how=how) as proxy:
                *_, heard = await printed(proxy.url, "respond", model="demo", input="hello")
            # Pieces of text are merged as they come, so an answer may have fewer events.
            assert proxy.cuts == (events <= len(heard["numbers"]))
            await assert_exact(served, heard)
            assert heard["text"] == whole["text"]


async def test_a_response_that_is_cut_behind_every_event(serve: Serve) -> None:
    async with serve(SHORT) as served:
        with cutting(served.url, after=itertools.repeat(1)) as proxy:
            *_, heard = await printed(proxy.url, "respond", model="clerk", input="hello")
        assert proxy.cuts == len(heard["numbers"])
        await assert_exact(served, heard)


@pytest.mark.prove
async def test_a_completion_that_is_cut(serve: Serve) -> None:
    async with serve(SHORT) as served:
        for events in range(4):
            with cutting(served.url, after=events) as proxy:
                (heard,) = await printed(
                    proxy.url,
                    "complete",
                    model="demo",
                    messages=MESSAGES,
                    key=f"cut-behind-chunk-{events}",
                )
            assert heard["tries"] == 1 + proxy.cuts
            assert heard["text"] == (await served.snapshot(heard["id"]))["answer"]


@pytest.mark.prove
@pytest.mark.timeout(240)
async def test_answers_longer_than_the_function_may_run(serve: Serve) -> None:
    env = {"DEMO_TOKENS": "240", "DEMO_TOKENS_PER_SECOND": "20"}
    async with serve(env, timeout=5) as served:
        *_, heard = await printed(served.url, "respond", model="demo", input="hello")
        await assert_exact(served, heard)
        assert heard["errors"].count("interrupted") >= 2
        (completed,) = await printed(
            served.url, "complete", model="demo", messages=MESSAGES, key="longer-than-it-runs"
        )
        assert completed["text"] == heard["text"]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kills", [3, pytest.param(KILLS, marks=pytest.mark.prove)])
async def test_killing_the_writer_at_any_moment(serve: Serve, kills: int) -> None:
    moments = [random.uniform(0.05, 1.2) for _ in range(kills)]  # noqa: S311
    env = {"DEMO_TOKENS": "60", "DEMO_TOKENS_PER_SECOND": "60"}
    async with serve(env, sandboxes=4 * KILLED_AT_ONCE) as served:
        await for_each(moments, partial(_killed, served), at_once=KILLED_AT_ONCE)


async def _killed(served: Served, moment: float) -> None:
    members = json.dumps({"model": "demo", "input": f"kill at {moment} — naïve 🚀"})
    async with node.running(SCRIPT, served.url, "respond", members) as script:
        await script.next()
        await asyncio.sleep(moment)
        for name in (await served.writing())[:1]:
            await served.function.http.post(f"/_local/sandboxes/{name}/kill")
        heard = (await script.rest())[-1]
    await assert_exact(served, heard)
    assert heard["response"]["status"] == "completed"


async def test_cancelling_ends_a_response(serve: Serve) -> None:
    env = {"DEMO_TOKENS": "2000", "DEMO_TOKENS_PER_SECOND": "50"}
    async with serve(env) as served:
        members = json.dumps({"model": "demo", "input": "hello"})
        async with node.running(SCRIPT, served.url, "respond", members) as script:
            id_ = (await script.next())["id"]
            await served.openai.responses.cancel(id_)
            (heard,) = await script.rest()
        await assert_exact(served, heard)
        assert heard["response"]["status"] == "cancelled"


async def test_a_failure_and_a_follow_up(serve: Serve) -> None:
    async with serve() as served:
        for when in ("before", "after"):
            *_, heard = await printed(served.url, "respond", model="failing", input=when)
            await assert_exact(served, heard)
            assert heard["response"]["error"]["code"] == "broken"
        *_, first = await printed(served.url, "respond", model="demo", input="First?")
        *_, heard = await printed(
            served.url,
            "respond",
            model="demo",
            input="And then?",
            previous_response_id=first["response"]["id"],
        )
        await assert_exact(served, heard)
        assert "First?" in heard["text"]


async def test_errors_are_told(serve: Serve) -> None:
    async with serve() as served:
        (told,) = await printed(served.url, "raised", model="none", input="hello")
        assert (told["name"], told["code"], told["param"]) == (
            "NotFoundError",
            "model_not_found",
            "model",
        )
        assert told["requestID"]
        (told,) = await printed(served.url, "raised", model="demo", input="a", tools=[{}])
        assert (told["name"], told["param"]) == ("BadRequestError", "tools")


async def test_a_lost_answer_starts_no_second_generation(serve: Serve) -> None:
    async with serve(SHORT) as served, losing(served.url, 2) as url:
        (response,) = await printed(url, "create", model="demo", input="hello")
        (again,) = await printed(served.url, "create", model="demo", input="hello")
        assert response["output_text"] == again["output_text"]
        assert response["id"] != again["id"]


def test_the_helper_takes_any_log(tmp_path: Path) -> None:
    """Logs with resets among them; its final response adds up to the log."""
    chosen: list[list[Record]] = []

    @settings(max_examples=150, database=None)
    @given(logs(complete=True))
    def choose(log: list[Record]) -> None:
        chosen.append(log)

    choose()
    kept = tmp_path / "logs.json"
    kept.write_text(json.dumps([_rendered(log) for log in chosen]))
    responses = node.run(SCRIPT, "", "accumulate", json.dumps({"kept": str(kept)}))
    for log, response in zip(chosen, responses, strict=True):
        assert of_output(response["output"]) == of_log(log)


def _rendered(log: list[Record]) -> list[Any]:
    rendering = ResponseRendering()
    return [event for record in log for event in rendering.render(record)]
