"""Several tabs of one browser, on the real function: which of them read, and which make room."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Page

from tests.flows.chat_page import (
    WARM,
    Profile,
    asked,
    events_path,
    journal,
    profile,
    reads,
    show,
    shows,
)
from tests.flows.conftest import Conversation, Function, Gate, Start

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

# A request that waits for another reader to end would wait much longer.
STOPPED = 10

Gated = tuple[Gate, dict[str, str]]


@pytest.fixture
async def browser() -> AsyncIterator[Profile]:
    async with profile() as browser:
        yield browser


async def connections(function: Function, path: str) -> int:
    """How many clients read these events now."""
    return sum(
        each["path"] == path and each["client_connected"]
        for sandbox in await function.sandboxes()
        for each in sandbox["invocations"]
    )


async def one_connection(function: Function, path: str) -> None:
    """Return when one client reads these events. More than one never do."""
    async with asyncio.timeout(10):
        while (count := await connections(function, path)) != 1:
            assert count == 0
            await asyncio.sleep(0.02)


async def answering(function: Function, gate: Gate, browser: Profile) -> tuple[Page, Conversation]:
    """A new tab, which reads a new stream that has said a word."""
    page = await browser.open(function)
    conversation = await asked(page, gate)
    await conversation.say("one ")
    await reads(page, "one ")
    return page, conversation


async def test_seven_tabs_show_one_stream_over_one_connection_through_a_crash_of_its_sandbox(
    start: Start, gate: Gated, browser: Profile
) -> None:
    """The tab that reads for the others is closed as well."""
    model, env = gate
    async with start({**env, "LEASE": "1"}, sandboxes=2, concurrency=16) as function:
        page, conversation = await answering(function, model, browser)
        path = events_path(page)
        tabs = [page, *[await browser.open(function, page.url) for _ in range(6)]]
        await conversation.say("two ")
        await asyncio.gather(*(reads(each, "one two ") for each in tabs))
        await asyncio.gather(*(shows(each, "live") for each in tabs))
        await one_connection(function, path)

        (writer,) = await function.serving(path)
        await function.do("kill", writer)
        successor = await model.next()
        await successor.say("three ")
        await asyncio.gather(*(reads(each, "one two three ") for each in tabs))
        await one_connection(function, path)

        await tabs.pop(0).close()
        await successor.say("four ")
        await asyncio.gather(*(reads(each, "one two three four ") for each in tabs))
        await one_connection(function, path)

        await successor.finish()
        await asyncio.gather(*(shows(each, "finished") for each in tabs))
        snapshot = (await function.http.get(path.removesuffix("/events"))).json()
        await asyncio.gather(*(reads(each, snapshot["answer"]) for each in tabs))
        assert snapshot["answer"] == "one two three four "


@asynccontextmanager
async def read_elsewhere(function: Function, gate: Gate) -> AsyncIterator[tuple[str, Conversation]]:
    """The page's address of a stream that another client reads, and so lets go on."""
    created = await function.create("hi")
    async with function.http.stream("GET", f"/streams/{created['id']}/events"):
        conversation = await gate.next()
        await conversation.say("one ")
        yield f"/?stream={created['id']}", conversation


async def test_stop_stops_however_many_tabs_read_other_streams(
    start: Start, gate: Gated, browser: Profile
) -> None:
    """Also in tabs without a connection, which say that they wait for one."""
    model, env = gate
    async with start(env, **WARM) as function, read_elsewhere(function, model) as (address, said):
        others = [await answering(function, model, browser) for _ in range(5)]
        waiting = [await browser.open(function, address) for _ in range(2)]
        for each in waiting:
            await shows(each, "crowded")
            assert "close or hide one" in str(await each.get_by_test_id("hint").text_content())
        await waiting[1].get_by_test_id("stop").click()
        async with asyncio.timeout(STOPPED):
            await said.hung_up()
            await asyncio.gather(*(shows(each, "cancelled") for each in waiting))
        await asyncio.gather(*(reads(each, "one ") for each in waiting))
        await asyncio.gather(*(shows(page, "live") for page, _ in others))


async def test_a_hidden_tab_makes_room_for_another_stream_and_comes_back(
    start: Start, gate: Gated, browser: Profile
) -> None:
    """In either order: hidden before another tab needs the connection, or after."""
    model, env = gate
    async with start(env, **WARM) as function, read_elsewhere(function, model) as (address, said):
        opened = [await answering(function, model, browser) for _ in range(5)]
        tabs = [page for page, _ in opened]
        conversations = [said, *[conversation for _, conversation in opened]]
        await show(tabs[0], shown=False)
        sixth, last_said = await answering(function, model, browser)
        await shows(tabs[0], "paused")
        assert "Other tabs use all connections to the server" not in await journal(sixth)
        seventh = await browser.open(function, address)
        await shows(seventh, "crowded")
        await show(tabs[1], shown=False)
        await reads(seventh, "one ")
        await shows(tabs[1], "paused")
        await sixth.close()
        for conversation in conversations:
            await conversation.say("two ")
        await show(tabs[0], shown=True)
        shown = (tabs[0], *tabs[2:], seventh)
        await asyncio.gather(*(reads(each, "one two ") for each in shown))
        for conversation in (*conversations, last_said):
            await conversation.finish()
        await asyncio.gather(*(shows(each, "finished") for each in shown))
        await show(tabs[1], shown=True)
        await shows(tabs[1], "finished")
        await reads(tabs[1], "one two ")
