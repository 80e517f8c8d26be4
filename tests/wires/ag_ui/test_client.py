"""`@ag-ui/client` as it comes from its registry: each page ends with the parts of the log."""

import asyncio
import json
import random
from contextlib import ExitStack
from typing import Any

import pytest

from app.models.base import Message, Request
from app.models.estimate import at_most
from tests.wires.ag_ui.conftest import Deploy, Deployed
from tests.wires.ag_ui.parts import Json
from tests.wires.cutting import How, cutting

pytestmark = [pytest.mark.anyio, pytest.mark.clients]

EVERY_PART = "/every_part"
KILLS = 30
MAX_TOKENS = 4_000  # those of a request that names none


def ask(text: str = "hello", **options: Any) -> Json:
    return {"text": text, **options}


@pytest.mark.parametrize("path", ["", "/chat", EVERY_PART])
async def test_an_answer(path: str, deploy: Deploy) -> None:
    async with deploy() as deployed:
        [told] = await deployed.show(ask(path=path))
        await deployed.assert_exact(told)
    assert told["messages"][0]["content"] == "hello"
    assert told["end"]["outcome"] == {"type": "success"}
    assert told["posts"] == 1


@pytest.mark.parametrize("how", ["reset", "end"])
async def test_a_connection_that_is_cut_behind_any_event(how: How, deploy: Deploy) -> None:
    async with deploy() as deployed:
        with ExitStack() as stack:
            proxies = [
                stack.enter_context(cutting(deployed.url, after=after, how=how))
                for after in range(70)
            ]
            pages = [deployed.page(ask(path=EVERY_PART), url=proxy.url) for proxy in proxies]
            async with deployed.running(*pages) as script:
                ended = await script.rest()
            cuts = [proxy.cuts for proxy in proxies]
            assert cuts == sorted(cuts, reverse=True)
            assert cuts[20], "it has begun"
            assert not cuts[-1], "the last one is behind the end"
        for told in ended:
            await deployed.assert_exact(told)
    assert len(ended) == len(proxies)


@pytest.mark.parametrize("how", ["reset", "end"])
async def test_a_connection_that_is_cut_again_and_again(how: How, deploy: Deploy) -> None:
    """Each try brings a snapshot, so each brings the page further."""
    async with deploy({"PACE": "0.02"}) as deployed:
        with cutting(deployed.url, after=[3] * 20, how=how) as proxy:
            [told] = await deployed.show(ask(path=EVERY_PART), url=proxy.url)
        await deployed.assert_exact(told)
    assert told["posts"] > 2


async def test_a_page_that_leaves_and_comes_back(deploy: Deploy) -> None:
    async with deploy({"PACE": "0.02"}) as deployed:
        [told] = await deployed.show(ask(path=EVERY_PART, leave=12))
        await deployed.assert_exact(told)
    assert told["posts"] == 2


@pytest.mark.alone
async def test_an_answer_longer_than_the_functions_timeout(deploy: Deploy) -> None:
    """Timeout 5 s, answer 12 s: a hand-over is told as an error that says what to do."""
    env = {"DEMO_TOKENS": "360", "DEMO_TOKENS_PER_SECOND": "34"}
    async with deploy(env, sandboxes=3, timeout=5) as deployed:
        [told] = await deployed.show(ask())
        await deployed.assert_exact(told)
    assert told["posts"] > 2
    assert len(told["interruptions"]) == told["posts"] - 1
    assert all("same runId" in each for each in told["interruptions"])


@pytest.mark.timeout(300)
async def test_killing_the_writer_at_any_moment(deploy: Deploy) -> None:
    async with deploy({"LEASE": "1.2", "DEMO_TOKENS_PER_SECOND": "60"}, sandboxes=8) as deployed:
        posts = 0
        for number in range(KILLS):
            moment = random.uniform(0, 0.7)  # noqa: S311 - a moment
            told = await _killed(deployed, ask(f"kill {number} 🚀", hear=1), moment)
            posts += told["posts"]
    assert posts > 1.5 * KILLS, "most were killed at work"


async def _killed(deployed: Deployed, turn: Json, moment: float) -> Json:
    async with deployed.running(deployed.page(turn)) as script:
        await script.next()
        await asyncio.sleep(moment)
        await deployed.kill_writers()
        [told] = await script.rest()
    await deployed.assert_exact(told)
    return dict(told)


async def test_an_agent_that_starts_over(deploy: Deploy) -> None:
    """The parts of the first attempt go; the second one says its number."""
    async with deploy({"LEASE": "1.2", "PACE": "0.05"}, sandboxes=3) as deployed:
        told = await _killed(deployed, ask(path=EVERY_PART, hear=25), 0.2)
    assert told["messages"][-1]["content"].endswith(" 2")
    assert told["posts"] > 1


async def test_a_run_that_is_cancelled(deploy: Deploy) -> None:
    async with deploy({"DEMO_TOKENS": "4000"}) as deployed:
        async with deployed.running(deployed.page(ask(hear=10))) as script:
            heard = await script.next()
            names = {name: heard[name] for name in ("threadId", "runId")}
            answered = await deployed.function.http.post("/ag-ui/runs/cancel", json=names)
            [told] = await script.rest()
        await deployed.assert_exact(told, "cancelled")
    assert answered.json() == {**names, "status": "cancelled"}
    assert told["end"]["outcome"] == {"type": "cancelled"}
    assert len(told["messages"]) > 1


@pytest.mark.parametrize(("prompt", "said"), [("nothing", 0), ("some text", 1)])
async def test_an_error_of_the_model(prompt: str, said: int, deploy: Deploy) -> None:
    async with deploy() as deployed:
        [told] = await deployed.show(ask(prompt, path="/breaking"))
        await deployed.assert_exact(told, "error")
    assert (told["end"]["code"], told["posts"]) == ("broken", 1)
    assert len(told["messages"]) == 1 + said


@pytest.mark.limits
async def test_out_of_budget(deploy: Deploy) -> None:
    request = Request(messages=(Message("user", "hello"),), model="demo", max_tokens=MAX_TOKENS)
    env = {"TOKENS_PER_DAY": str(at_most(request))}
    async with deploy(env) as deployed:
        [told] = await deployed.show(ask())
        await deployed.assert_exact(told)
        [told] = await deployed.show(ask())
    assert told["refused"]["status"] == 429
    assert told["refused"]["payload"]["error"]["code"] == "budget_spent"
    assert (told["posts"], len(told["messages"])) == (1, 1)


async def test_a_turn_that_follows_another(deploy: Deploy) -> None:
    async with deploy() as deployed:
        first, second = await deployed.show(ask("one", path="/chat"), ask("two", leave=8))
        await deployed.assert_exact(first)
        before = len(first["messages"]) + 1
        await deployed.assert_exact(second, before=before)
        snapshot = await deployed.snapshot(second["streamId"])
    assert [each["role"] for each in snapshot["messages"]] == ["user", "assistant", "user"]
    assert second["messages"][: before - 1] == first["messages"]


@pytest.mark.access
async def test_a_token(deploy: Deploy) -> None:
    token = "t" * 32
    async with deploy({"API_TOKENS": json.dumps({"someone": token})}) as deployed:
        [told] = await deployed.show(ask(), headers={"Authorization": f"Bearer {token}"})
        [refused] = await deployed.show(ask())
    assert told["end"]["type"] == "RUN_FINISHED"
    assert refused["refused"]["status"] == 401
