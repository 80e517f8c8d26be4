"""The clients of the AI SDK, as they come from their registry: each ends with the log's parts."""

import asyncio
import itertools
import json
import random
from contextlib import ExitStack
from typing import Any

import pytest

from tests.wires import node
from tests.wires.ai_sdk.conftest import SCRIPT, Deploy, Deployed, Turn
from tests.wires.cutting import How, cutting

pytestmark = [pytest.mark.anyio, pytest.mark.clients]

EVERY_PART = {"agent": "every_part"}
KILLS = 30
transports = pytest.mark.parametrize("transport", ["default", "workflow"])


def ask(text: str, **options: Any) -> Turn:
    return "ask", {"text": text, **options}


@transports
@pytest.mark.parametrize("body", [{}, EVERY_PART])
async def test_an_answer(transport: str, body: dict[str, Any], deploy: Deploy) -> None:
    async with deploy() as deployed:
        [told] = await deployed.chat(transport, ask("hello", body=body))
        await deployed.assert_exact(told)
    assert told["messages"][0]["parts"] == [{"type": "text", "text": "hello"}]
    assert (told["status"], told["error"]) == ("ready", None)
    assert [each["finishReason"] for each in told["finishes"]] == ["stop"]


async def test_a_workflow_transport_as_it_comes(deploy: Deploy) -> None:
    """Its body has no id of a chat."""
    async with deploy() as deployed:
        with cutting(deployed.url, after=[5, 2]) as proxy:
            [told] = await deployed.chat("bare", ask("hello"), url=proxy.url)
        await deployed.assert_exact(told)
        assert proxy.cuts == 2


@transports
@pytest.mark.parametrize("how", ["reset", "end"])
async def test_a_connection_that_is_cut_behind_any_event(
    transport: str, how: How, deploy: Deploy
) -> None:
    async with deploy() as deployed:
        [told] = await deployed.chat(transport, ask("hello", body=EVERY_PART))
        most = len(told["messages"][1]["parts"]) * 4
        with ExitStack() as stack:
            proxies = [
                stack.enter_context(cutting(deployed.url, after=after, how=how))
                for after in range(most)
            ]
            pages = [
                deployed.page(transport, ask("hello", body=EVERY_PART), url=proxy.url)
                for proxy in proxies
            ]
            ended = await deployed.chats(pages)
        cuts = [proxy.cuts for proxy in proxies]
        assert cuts == sorted(cuts, reverse=True)
        assert cuts[0] > cuts[-1], "the last place is behind the end"
        for each in ended:
            await deployed.assert_exact(each)
            assert each["status"] == "ready"
    assert len(ended) == most


@pytest.mark.parametrize("how", ["reset", "end"])
async def test_a_page_with_the_line_of_the_documentation(how: How, deploy: Deploy) -> None:
    """A default transport asks again from `onFinish`."""
    async with deploy() as deployed:
        with cutting(deployed.url, after=[0, 9, 5], how=how) as proxy:
            [told] = await deployed.chat("default", ask("hello"), url=proxy.url, again="line")
        await deployed.assert_exact(told)
        assert proxy.cuts == 3
    assert told["status"] == "ready"


@pytest.mark.parametrize("how", ["reset", "end"])
async def test_every_connection_of_a_workflow_transport_may_be_cut(
    how: How, deploy: Deploy
) -> None:
    async with deploy() as deployed:
        with cutting(deployed.url, after=itertools.repeat(3), how=how) as proxy:
            [told] = await deployed.chat("workflow", ask("hello", body=EVERY_PART), url=proxy.url)
        await deployed.assert_exact(told)
        assert proxy.cuts > 5


@transports
@pytest.mark.alone
async def test_an_answer_longer_than_the_functions_timeout(transport: str, deploy: Deploy) -> None:
    """Timeout 5 s, answer 12 s: a hand-over is a clean end."""
    env = {"DEMO_TOKENS": "360", "DEMO_TOKENS_PER_SECOND": "34"}
    async with deploy(env, sandboxes=3, timeout=5) as deployed:
        [told] = await deployed.chat(transport, ask("hello"))
        await deployed.assert_exact(told)
    assert told["status"] == "ready"


@pytest.mark.timeout(300)
@transports
async def test_killing_the_writer_at_any_moment(transport: str, deploy: Deploy) -> None:
    """Each of the transports sees half of the kills."""
    async with deploy({"LEASE": "1.2", "DEMO_TOKENS_PER_SECOND": "60"}, sandboxes=8) as deployed:
        for number in range(KILLS // 2):
            moment = random.uniform(0, 1.2)  # noqa: S311 - a moment
            await _killed_at(deployed, transport, f"kill {number} 🚀", moment)


async def _killed_at(deployed: Deployed, transport: str, prompt: str, moment: float) -> None:
    page = deployed.page(transport, ("hear", {"text": prompt, "after": 1}))
    async with node.running(SCRIPT, json.dumps([page]), timeout=60) as script:
        stream_id = await script.next()
        await asyncio.sleep(moment)
        await deployed.kill_writers()
        [told] = await script.rest()
    message = await deployed.assert_exact(told)
    assert message["id"] == stream_id, f"killed after {moment} s"
    assert told["status"] == "ready"


@transports
async def test_an_agent_that_starts_over(transport: str, deploy: Deploy) -> None:
    """The parts of the first attempt go; the second one says its number."""
    async with deploy({"LEASE": "1.2", "PACE": "0.1"}, sandboxes=3) as deployed:
        page = deployed.page(transport, ("hear", {"text": "a", "after": 30, "body": EVERY_PART}))
        async with node.running(SCRIPT, json.dumps([page]), timeout=60) as script:
            await script.next()
            await asyncio.sleep(0.5)
            await deployed.kill_writers()
            [told] = await script.rest()
        message = await deployed.assert_exact(told)
    assert message["parts"][-1]["text"].endswith(" 2")


@transports
async def test_a_network_that_is_lost_and_comes_back(transport: str, deploy: Deploy) -> None:
    """The page has parts of the message, among them calls of tools, when it asks again for all."""
    async with deploy({"PACE": "0.05"}) as deployed:
        lose = ("lose", {"text": "hello", "after": 20, "body": EVERY_PART})
        [told] = await deployed.chat(transport, lose)
        await deployed.assert_exact(told)
    assert told["finishes"][0]["isDisconnect"]
    assert told["status"] == "ready"


@transports
async def test_a_page_that_is_loaded_again(transport: str, deploy: Deploy) -> None:
    """In mid-answer, and when the answer is over."""
    async with deploy() as deployed:
        left, whole, over = await deployed.chat(
            transport,
            ("leave", {"text": "hello", "after": 60}),
            ("reload", {"keep": 1}),
            ("reload", {"keep": 2}),
        )
        await deployed.assert_exact(whole)
    assert "status" not in left["messages"][1]["metadata"]
    assert over["messages"][1]["id"] == whole["messages"][1]["id"]
    assert _texts(over) == _texts(whole)


def _texts(told: dict[str, Any]) -> list[Any]:
    return [part.get("text") for part in told["messages"][-1]["parts"] if "text" in part]


async def test_a_page_that_reads_the_end_alone(deploy: Deploy) -> None:
    async with deploy() as deployed:
        whole, again = await deployed.chat(
            "workflow", ask("hello"), ("reload", {"keep": 1}), startIndex=-12
        )
        message = await deployed.assert_exact(whole)
    assert again["status"] == "ready"
    assert again["messages"][-1]["metadata"]["status"] == "done"
    assert message["parts"][-1]["text"].endswith("".join(_texts(again)))


@transports
async def test_a_chat_without_a_stream(transport: str, deploy: Deploy) -> None:
    async with deploy() as deployed:
        [told] = await deployed.chat(transport, ("resume", {}), again=False)
    assert (told["messages"], told["status"], told["error"]) == ([], "ready", None)


@transports
async def test_a_stop(transport: str, deploy: Deploy) -> None:
    async with deploy({"DEMO_TOKENS": "2000"}) as deployed:
        [told] = await deployed.chat(transport, ("stop", {"text": "hello", "after": 40}))
        await deployed.assert_exact(told, "cancelled")
    assert told["status"] == "ready"
    assert told["finishes"][-1]["finishReason"] == "other"


@transports
@pytest.mark.parametrize("prompt", ["nothing", "some text"])
async def test_a_model_that_fails(transport: str, prompt: str, deploy: Deploy) -> None:
    async with deploy() as deployed:
        [told] = await deployed.chat(transport, ask(prompt, body={"agent": "breaking"}))
        message = await deployed.assert_exact(told, "error")
    assert (told["status"], told["error"]) == ("error", "The model is broken: ask another one.")
    assert [part["text"] for part in message["parts"] if "text" in part] == (
        [] if prompt == "nothing" else [prompt]
    )


@transports
@pytest.mark.limits
async def test_a_budget_that_is_used_up(transport: str, deploy: Deploy) -> None:
    async with deploy({"TOKENS_PER_DAY": "10"}) as deployed:
        [told] = await deployed.chat(transport, ask("hello"))
    assert told["status"] == "error"
    assert "tokens" in told["error"]
    assert "{" not in told["error"]
    assert len(told["messages"]) == 1


@transports
async def test_a_follow_up_and_another_answer(transport: str, deploy: Deploy) -> None:
    async with deploy() as deployed:
        first, second, other = await deployed.chat(
            transport, ask("one"), ask("two"), ("regenerate", {})
        )
        await deployed.assert_exact(first)
        await deployed.assert_exact(second)
        message = await deployed.assert_exact(other)
        asked = (await deployed.snapshot(message["id"]))["messages"]
    assert message["id"] != second["messages"][-1]["id"]
    assert [each["role"] for each in asked] == ["user", "assistant", "user"]
    assert asked[0]["content"] == "one"
    assert asked[1]["content"] == first["messages"][1]["parts"][-1]["text"]
