"""How fast the chat page is, and how much it weighs, in Chromium, on the real function.

The bounds on tasks and memory are of a machine with nothing else to do.
"""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Page

from tests.flows.chat_page import Profile, profile, shows, until
from tests.flows.conftest import Function, Start

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

ALL = "() => document.querySelector('[data-testid=answer]').textContent.length >= 95_000"


@pytest.fixture
async def browser() -> AsyncIterator[Profile]:
    async with profile() as browser:
        yield browser


async def heap(page: Page) -> float:
    """The megabytes of the page's objects."""
    session = await page.context.new_cdp_session(page)
    await session.send("HeapProfiler.collectGarbage")
    usage = await session.send("Runtime.getHeapUsage")
    return float(usage["usedSize"]) / 1e6


async def nodes(page: Page) -> int:
    return int(await page.evaluate("document.querySelectorAll('*').length"))


WATCH = """() => {
  window.tasks = [];
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) {
      tasks.push([Math.round(startTime), Math.round(duration)]);
    }
  }).observe({ type: "longtask", buffered: true });
}"""


@pytest.mark.alone
async def test_a_long_answer_leaves_the_page_responsive_and_opens_again_at_once(
    start: Start, browser: Profile
) -> None:
    await browser.context.add_init_script(f"({WATCH})()")
    env = {"DEMO_TOKENS": "19000", "DEMO_TOKENS_PER_SECOND": "1000"}
    async with start(env, sandboxes=1, concurrency=16) as function:
        page = await browser.open(function)
        before = await heap(page)
        await page.get_by_test_id("prompt").fill("hi")
        await page.keyboard.press("Enter")
        async with asyncio.timeout(60):
            await page.locator("[data-testid=state][data-state=finished]").wait_for(timeout=60_000)
            await until(page, ALL)
        print("length", await page.evaluate("document.querySelector('[data-testid=answer]').textContent.length"))
        print("tasks", await page.evaluate("tasks"), "heap", before, await heap(page), "nodes", await nodes(page))
        await page.reload()
        await until(page, ALL)
        await shows(page, "finished")
        print("reopened", await page.evaluate("performance.now()"), "tasks", await page.evaluate("tasks"))
    assert 0


async def chain(function: Function, count: int) -> str:
    """A conversation of so many turns; the id of its last stream."""
    previous: dict[str, Any] = {}
    for number in range(count):
        body = {"prompt": f"Question {number}?", **previous}
        created = (await function.http.post("/streams", json=body)).json()
        await function.http.get(f"/streams/{created['id']}/events")
        previous = {"previous": created["id"]}
    return str(previous["previous"])


@pytest.mark.alone
async def test_a_conversation_of_200_turns_opens_within_a_second(
    start: Start, browser: Profile
) -> None:
    env = {"DEMO_TOKENS": "30", "DEMO_TOKENS_PER_SECOND": "100000", "DEMO_FIRST_TOKEN_MS": "1"}
    await browser.context.add_init_script(f"({WATCH})()")
    async with start(env, sandboxes=1, concurrency=16) as function:
        started = time.monotonic()
        stream = await chain(function, 200)
        print("chain", time.monotonic() - started)
        page = await browser.open(function)
        before = await heap(page)
        await page.goto(f"{function.http.base_url}?stream={stream}")
        await shows(page, "finished")
        print("finished", await page.evaluate("performance.now()"))
        filled = """() => {
          const answers = [...document.querySelectorAll("[data-testid=answer]")];
          return answers.length === 200 && answers.every((each) => each.textContent);
        }"""
        await until(page, filled)
        print("opened", await page.evaluate("performance.now()"), await page.evaluate("tasks"))
        print("heap", before, await heap(page), await nodes(page))
    assert 0


async def test_the_page_weighs_less_than_80_kilobytes(start: Start) -> None:
    async with start() as function:
        page = (await function.http.get("/")).text
        version = page.partition("assets/")[2].partition("/")[0]
        names = ("page.css", "page.js", "favicon.svg")
        files = [page.encode()]
        for name in names:
            files.append((await function.http.get(f"/assets/{version}/{name}")).content)
    print([len(gzip.compress(each)) for each in files])
    assert sum(len(gzip.compress(each)) for each in files) < 80_000
