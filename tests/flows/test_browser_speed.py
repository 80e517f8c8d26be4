"""How fast the chat page is, and how much it weighs, in Chromium, on the real function.

A task of the page counts by the time that it had a processor, which is the same on a busy machine.
"""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from playwright.async_api import Page

from tests.flows.chat_page import WARM, Profile, asked, profile, shows, until
from tests.flows.conftest import Conversation, Function, Gate, Start

pytestmark = [pytest.mark.anyio, pytest.mark.chromium, pytest.mark.alone]

Gated = tuple[Gate, dict[str, str]]

LENGTH = 100_000
TURNS = 200
LONG_TASK_MS = 50
TRIES = 4
# Of processor time, from the request for the page on. The second visit has the files of the page.
OPEN_MS = 1000
HEAVIEST = 80_000
# Measured: 1.9 MB more for 100,000 characters, and 1.4 MB more for 200 turns.
MOST_MEGABYTES = 6

PARAGRAPH = "A **paragraph** with `code`, and the [address](https://sky.example) of more of it.\n\n"
CODE = "```js\nlet it = 1;\n```\n\n"
LISTED = f"1. One thing\n2. Another thing\n\n{CODE}| a | b |\n| - | - |\n| 1 | 2 |\n\n"
END = "The very end."
TEXT = f"{((PARAGRAPH * 5 + LISTED) * (LENGTH // 500 + 1))[:LENGTH]}\n\n{END}"
PIECE = 8
TOKENS_PER_SECOND = 600
TOKENS_AT_ONCE = 10
CATEGORIES = ["toplevel"]


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


@asynccontextmanager
async def tasks(page: Page) -> AsyncIterator[list[float]]:
    """The milliseconds of processor time of each task of the page during the block."""
    browser = page.context.browser
    assert browser is not None
    times: list[float] = []
    await browser.start_tracing(page=page, categories=CATEGORIES)
    yield times
    events = json.loads(await browser.stop_tracing())["traceEvents"]
    mains = {
        (each["pid"], each["tid"])
        for each in events
        if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    times.extend(
        each["tdur"] / 1000
        for each in events
        if each["name"] == "ThreadControllerImpl::RunTask"
        and "tdur" in each
        and (each["pid"], each["tid"]) in mains
    )


async def say_all(conversation: Conversation) -> None:
    for at in range(0, len(TEXT), PIECE):
        await conversation.say(TEXT[at : at + PIECE])
        if at % (PIECE * TOKENS_AT_ONCE) == 0:
            await asyncio.sleep(TOKENS_AT_ONCE / TOKENS_PER_SECOND)
    await conversation.finish()


async def has_all(page: Page) -> None:
    """Return when the whole answer is on the page."""
    await shows(page, "finished")
    await page.locator(".answer p").last.get_by_text(END).wait_for()


@dataclass(frozen=True)
class Measured:
    """The times of the page's tasks in milliseconds, and the megabytes by which it grew."""

    live: list[float]
    opening: list[float]
    grown: float

    @property
    def longest(self) -> float:
        return max(*self.live, *self.opening)


async def measured(start: Start, gate: Gated, browser: Profile) -> Measured:
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        before = await heap(page)
        async with tasks(page) as live:
            await say_all(await asked(page, model))
            await has_all(page)
        grown = await heap(page) - before
        async with tasks(page) as opening:
            await page.reload()
            await has_all(page)
        await page.close()
    return Measured(live, opening, grown)


@pytest.mark.timeout(300)
async def test_a_long_answer_leaves_the_page_responsive_and_opens_again_at_once(
    start: Start, gate: Gated, browser: Profile
) -> None:
    """A busy machine makes tasks longer, and never shorter, so the best of some tries counts."""
    best = await measured(start, gate, browser)
    for _ in range(TRIES - 1):
        if best.longest >= LONG_TASK_MS:
            best = min(best, await measured(start, gate, browser), key=lambda each: each.longest)
    assert best.longest < LONG_TASK_MS
    assert sum(best.opening) < OPEN_MS
    assert best.grown < MOST_MEGABYTES


async def chain(function: Function) -> str:
    """A conversation of many turns; the id of its last stream."""
    previous = ""
    for number in range(TURNS):
        body = {"prompt": f"Question {number}?", **({"previous": previous} if previous else {})}
        answer = await function.http.post("/streams?stream=true", json=body)
        previous = answer.text.partition("\nid: ")[2].partition(":")[0]
    return previous


async def test_a_conversation_of_200_turns_opens_within_a_second(
    start: Start, browser: Profile
) -> None:
    env = {"DEMO_TOKENS": "30", "DEMO_TOKENS_PER_SECOND": "100000", "DEMO_FIRST_TOKEN_MS": "1"}
    async with start(env, **WARM) as function:
        stream = await chain(function)
        page = await browser.open(function)
        before = await heap(page)
        async with tasks(page) as opening:
            await page.goto(f"{function.http.base_url}?stream={stream}")
            await shows(page, "finished")
            filled = """count => {
              const answers = [...document.querySelectorAll("[data-testid=answer]")];
              return answers.length === count && answers.every((each) => each.textContent);
            }"""
            await until(page, filled, TURNS)
        grown = await heap(page) - before
        assert await page.get_by_test_id("question").first.text_content() == "Question 0?"
    assert sum(opening) < OPEN_MS
    assert grown < MOST_MEGABYTES


async def test_the_page_weighs_less_than_80_kilobytes(start: Start) -> None:
    """Compressed, as a proxy in front of the function sends it."""
    async with start() as function:
        page = (await function.http.get("/")).text
        version = page.partition("assets/")[2].partition("/")[0]
        names = ("page.css", "page.js", "favicon.svg")
        files = [await function.http.get(f"/assets/{version}/{name}") for name in names]
    sizes = [
        len(gzip.compress(each)) for each in (page.encode(), *(each.content for each in files))
    ]
    assert sum(sizes) < HEAVIEST, sizes
