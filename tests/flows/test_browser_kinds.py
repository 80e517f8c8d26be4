"""The page and its client in Chromium, while the function's agent yields kinds of its own.

`client.js` does not list these kinds.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route

from tests.flows.chat_page import WARM, Profile, asked, profile, reads, shows, stream_of, until
from tests.flows.conftest import Conversation, Function, Gate, Start

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

READ = """async ([id, lastEventId]) => {
  const { LLMStream } = await import("/client.js");
  window.every = [];
  window.stream = new LLMStream(id, { lastEventId });
  stream.addEventListener("event", ({ detail }) => every.push(detail));
}"""

Gated = tuple[Gate, dict[str, str]]


@pytest.fixture
async def browser() -> AsyncIterator[Profile]:
    async with profile() as browser:
        yield browser


@pytest.fixture
def searching(start: Start, task_root: Path) -> Start:
    """The function whose agent yields `search` and `verdict`."""
    here = Path(__file__).with_name("searching.py")
    (task_root / here.name).unlink(missing_ok=True)
    (task_root / here.name).symlink_to(here)

    @asynccontextmanager
    async def started(env: dict[str, str]) -> AsyncIterator[Function]:
        async with start(env, handler="searching.handler", **WARM) as function:
            yield function

    return started


def requests(page: Page) -> list[str]:
    """The last parts of the paths that the page asks the API for, from now on."""
    paths: list[str] = []

    def note(url: str) -> None:
        path = url.partition("?")[0].partition("/streams")
        if path[1]:
            paths.append(path[2].rpartition("/")[2] if path[2].count("/") > 1 else path[1] + "/id")

    page.on("request", lambda request: note(request.url))
    return paths


async def say(page: Page, conversation: Conversation, *words: str) -> None:
    """Let the model say each word in a record of its own."""
    for at, _ in enumerate(words):
        await conversation.say(words[at])
        await reads(page, "".join(words[: at + 1]))


async def kinds(page: Page) -> list[str]:
    """The kinds of the events that `READ` has received, without heartbeats."""
    told: list[dict[str, Any]] = await page.evaluate("every")
    assert [each["lastEventId"].split(":")[1] for each in told] == [
        str(seq) for seq in range(len(told))
    ], "each event once and in order"
    return [each["kind"] for each in told if each["kind"] != "heartbeat"]


EVERY = ["start", "claim", *["search", "search", "answer"] * 2, "verdict"]


async def test_events_of_an_own_kind_reach_the_page_over_one_connection(
    searching: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with searching(env) as function:
        page = await browser.open(function)
        asked_for = requests(page)
        conversation = await asked(page, model)
        await say(page, conversation, "one ", "two ")
        await conversation.finish()
        await shows(page, "finished")
        assert await page.locator("#strip [data-kind=search]").count() == 2
        assert await page.locator("#strip [data-kind=verdict]").count() == 1
        assert asked_for.count("events") == 1


async def test_a_page_from_before_the_deployment_loses_nothing_and_asks_once(
    start: Start, searching: Start, gate: Gated, browser: Profile
) -> None:
    """It reads a stream without having sent another request to the new deployment."""
    model, env = gate
    async with start(env, **WARM) as before, searching(env) as after:
        fresh = await browser.open(after)
        conversation = await asked(fresh, model)
        await say(fresh, conversation, "one ")
        page = await browser.open(before)

        async def deployed(route: Route) -> None:
            path = route.request.url.removeprefix(str(before.http.base_url))
            await route.continue_(url=f"{after.http.base_url}{path}")

        await page.route("**/streams/**", deployed)
        asked_for = requests(page)
        id_ = stream_of(fresh)
        await page.evaluate(READ, [id_, ""])
        await until(page, "() => every.some(({ kind }) => kind === 'answer')")
        await conversation.say("two ")
        await conversation.finish()
        await until(page, "() => stream.state === 'finished'")
        assert await kinds(page) == EVERY
        assert asked_for == ["events", "/streams/id", "events"]

        await page.evaluate(READ, [id_, ""])
        await until(page, "() => stream.state === 'finished'")
        assert await kinds(page) == EVERY
        assert asked_for == ["events", "/streams/id", "events", "events"]
