"""The strip that `make run` adds to the chat page, in Chromium on the real function."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from tests.flows.chat_page import WARM, Profile, asked, events_path, profile, reads, show, shows
from tests.flows.conftest import Function, Gate, Start

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

# Long enough for a sandbox to start on a busy machine, in milliseconds.
PATIENCE = 20_000
# Several times the interval at which the strip looks, in milliseconds.
LONG = 10_000

Gated = tuple[Gate, dict[str, str]]


@pytest.fixture
async def browser() -> AsyncIterator[Profile]:
    async with profile() as browser:
        yield browser


@pytest.fixture
async def other_browser() -> AsyncIterator[Profile]:
    """Tabs of one browser may share a reader."""
    async with profile() as browser:
        yield browser


async def names(page: Page, writer: str) -> None:
    """Return when the strip names this sandbox as the writer; with "", that there is none."""
    label = page.get_by_test_id("writer")
    told = f"{writer} writes this answer" if writer else "No sandbox writes this answer"
    await expect(label).to_have_text(told, timeout=PATIENCE)


async def writer_of(page: Page) -> str:
    """The sandbox that the strip names as the writer, as soon as it names one."""
    await page.locator("[data-testid=writer][data-state=busy]").wait_for()
    name, *_ = (await page.get_by_test_id("writer").inner_text()).split()
    return name


async def has_chip(page: Page, text: str) -> None:
    chips = page.get_by_test_id("others").get_by_test_id("sandbox")
    await expect(chips.filter(has_text=text)).to_have_count(1, timeout=PATIENCE)


async def state_of(function: Function, name: str) -> str:
    (state,) = [each["state"] for each in await function.sandboxes() if each["name"] == name]
    return str(state)


async def test_the_killed_writers_answer_goes_on_and_the_strip_names_the_new_one(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start({**env, "LEASE": "1"}) as function:
        page = await browser.open(function)
        conversation = await asked(page, model)
        await conversation.say("one ")
        await reads(page, "one ")
        killed = await writer_of(page)
        assert [killed] == await function.serving(events_path(page))
        await page.get_by_role("button", name=f"Kill {killed}").press("Enter")
        assert await state_of(function, killed) == "dead"
        await has_chip(page, f"{killed} dead, wrote before")
        successor = await model.next()
        assert successor.continue_from == "one "
        await successor.say("two ")
        await reads(page, "one two ")
        heir = await writer_of(page)
        assert heir != killed
        await expect(page.get_by_role("button", name=f"Kill {heir}")).to_be_focused()
        await successor.finish()
        await shows(page, "finished")
        await reads(page, "one two ")
        await names(page, "")


async def test_a_frozen_writer_is_thawed_before_or_after_another_took_over(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start({**env, "LEASE": "2"}) as function:
        page = await browser.open(function)
        conversation = await asked(page, model)
        await conversation.say("one ")
        await reads(page, "one ")
        frozen = await writer_of(page)
        toggle = page.get_by_test_id("freeze")
        await toggle.click()
        await expect(toggle).to_have_accessible_name(f"Thaw {frozen}")
        await toggle.click()
        await expect(toggle).to_have_accessible_name(f"Freeze {frozen}")
        await conversation.say("two ")
        await reads(page, "one two ")
        await toggle.click()
        assert await state_of(function, frozen) == "frozen"
        successor = await model.next()
        await successor.say("three ")
        await reads(page, "one two three ")
        assert await writer_of(page) != frozen
        await has_chip(page, f"{frozen} frozen, wrote before")
        await page.get_by_role("button", name=f"Thaw {frozen}").click()
        await conversation.hung_up()
        await successor.say("four ")
        await successor.finish()
        await shows(page, "finished")
        await reads(page, "one two three four ")


async def test_a_reader_in_another_sandbox_is_not_named_the_writer(
    start: Start, gate: Gated, browser: Profile, other_browser: Profile
) -> None:
    model, env = gate
    async with start(env) as function:
        page = await browser.open(function)
        conversation = await asked(page, model)
        await conversation.say("one ")
        await reads(page, "one ")
        writer = await writer_of(page)
        other = await other_browser.open(function, page.url)
        await reads(other, "one ")
        (reader,) = set(await function.serving(events_path(page))) - {writer}
        for each in (page, other):
            await has_chip(each, f"{reader} reads along")
            await names(each, writer)
        await conversation.finish()
        await asyncio.gather(shows(page, "finished"), shows(other, "finished"))


async def test_without_a_stream_there_is_no_strip_and_nothing_is_asked(
    start: Start, gate: Gated, browser: Profile
) -> None:
    """In a hidden tab nothing is asked either."""
    model, env = gate
    async with start(env, **WARM) as function:
        await browser.context.clock.install()
        page = await browser.open(function)
        asked_for: list[str] = []
        page.on("request", lambda request: asked_for.append(request.url))
        strip = page.get_by_role("region", name="Sandboxes")
        await page.clock.run_for(LONG)
        assert not any("/_local/" in url for url in asked_for)
        await expect(strip).to_have_count(0)
        conversation = await asked(page, model)
        await conversation.say("one ")
        await names(page, "sandbox-1")
        await expect(strip).to_be_visible()
        await show(page, shown=False)
        asked_for.clear()
        await page.clock.run_for(LONG)
        assert not any("/_local/" in url for url in asked_for)
        async with page.expect_request(lambda request: "/_local/" in request.url):
            await show(page, shown=True)
        await conversation.finish()
        await names(page, "")
        await page.get_by_test_id("new").click()
        await expect(strip).to_be_hidden()


@pytest.mark.parametrize("width", [320, 1280])
async def test_the_strip_moves_nothing_and_its_targets_are_large(
    start: Start, gate: Gated, browser: Profile, width: int
) -> None:
    model, env = gate
    async with start({**env, "LEASE": "3"}) as function:
        page = await browser.open(function)
        await page.set_viewport_size({"width": width, "height": 800})
        conversation = await asked(page, model)
        await conversation.say("one ")
        killed = await writer_of(page)
        places = await boxes(page)
        for *_, wide, high in places:
            assert wide >= 44
            assert high >= 44
        await page.get_by_test_id("freeze").click()
        await page.locator("[data-testid=writer][data-state=frozen]").wait_for()
        assert await boxes(page) == places
        await page.get_by_test_id("kill").click()
        await names(page, "")
        await (await model.next()).say("two ")
        assert await writer_of(page) != killed
        await has_chip(page, killed)
        assert await boxes(page) == places
        assert await page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )


async def boxes(page: Page) -> list[tuple[float, ...]]:
    """The places of the strip, its buttons and its link: left, top, width and height."""
    found: list[tuple[float, ...]] = []
    for test_id in ("sandboxes", "kill", "freeze", "all-sandboxes"):
        box = await page.get_by_test_id(test_id).bounding_box()
        assert box is not None
        found.append((box["x"], box["y"], box["width"], box["height"]))
    return found
