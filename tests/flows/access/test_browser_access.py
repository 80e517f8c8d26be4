"""The page and its client in Chromium, on a real function that requires an API token."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Page, Route

from tests.flows.chat_page import (
    WARM,
    Profile,
    asked,
    drop_reader,
    events_path,
    profile,
    prompts,
    reads,
    shows,
    until,
)
from tests.flows.conftest import Conversation, Gate, Start

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

TOKEN = "the-token-of-a-person-who-is-known-here"
CLOSED = {"API_TOKENS": json.dumps({"person": TOKEN})}
ANOTHER_PAGE = """<!doctype html><output></output><script type="module">
  const given = new URLSearchParams(location.search);
  const api = { baseUrl: given.get("api"), bearer: given.get("bearer"), backoffCapMs: 0 };
  const { createStream, LLMStream } = await import(`${api.baseUrl}/client.js`);
  window.ask = async () => {
    const { id, token } = await createStream({ prompt: "hi" }, api);
    window.stream = new LLMStream(id, { ...api, token });
    const output = document.querySelector("output");
    stream.addEventListener("answer", ({ data }) => output.append(data.text));
    return id;
  };
</script>"""

Gated = tuple[Gate, dict[str, str]]


@pytest.fixture
async def browser() -> AsyncIterator[Profile]:
    async with profile() as browser:
        yield browser


async def refused(page: Page, prompt: str = "hi") -> None:
    """Type a prompt that the page may not send yet."""
    await page.get_by_test_id("prompt").fill(prompt)
    await page.keyboard.press("Enter")
    await shows(page, "locked")


async def enter(page: Page, token: str) -> None:
    await page.get_by_label("Access token").fill(token)
    await page.keyboard.press("Enter")


async def let_in(page: Page, model: Gate, prompt: str = "hi") -> Conversation:
    await refused(page, prompt)
    await enter(page, TOKEN)
    return await model.next()


async def test_the_page_asks_for_a_token_and_goes_on_with_the_prompt(
    start: Start, gate: Gated, browser: Profile
) -> None:
    """By keyboard only. No address has the API token, and the page's has no token of a stream."""
    model, env = gate
    async with start({**env, **CLOSED}, **WARM) as function:
        page = await browser.open(function)
        addresses: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        await refused(page, "What now?")
        focused = "document.activeElement.labels[0].textContent"
        assert await page.evaluate(focused) == "Access token"
        assert await page.get_by_test_id("access-error").text_content() == ""
        await page.keyboard.type(TOKEN)
        await page.keyboard.press("Enter")
        conversation = await model.next()
        assert conversation.prompt == "What now?"
        await conversation.say("one ")
        await reads(page, "one ")
        assert await page.get_by_test_id("access").is_hidden()
        assert await page.evaluate("document.activeElement.id") == "stop"
        await conversation.finish()
        await shows(page, "finished")
        assert TOKEN not in " ".join(addresses)
        assert page.url.partition("?")[2].startswith("stream=")
        assert "token" not in page.url


async def test_a_required_token_is_asked_for_before_the_prompt_is_typed(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start({**env, **CLOSED}, **WARM) as function:
        page = await browser.open(function)
        await page.get_by_test_id("access").wait_for()
        assert await page.evaluate("document.activeElement.id") == "access-token"
        await page.keyboard.type(TOKEN)
        await page.keyboard.press("Enter")
        await page.get_by_test_id("access").wait_for(state="hidden")
        assert await page.evaluate("document.activeElement.id") == "prompt"
        await page.keyboard.type("What now?")
        await page.keyboard.press("Enter")
        conversation = await model.next()
        assert conversation.prompt == "What now?"
        await conversation.finish()
        await shows(page, "finished")


async def test_an_open_server_asks_for_no_token(start: Start, browser: Profile) -> None:
    async with start(**WARM) as function:
        page = await browser.open(function)
        await until(page, "() => localStorage.length === 1")
        assert await page.get_by_test_id("access").is_hidden()


async def test_a_wrong_token_is_reported_and_asked_for_again(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start({**env, **CLOSED}, **WARM) as function:
        page = await browser.open(function)
        await refused(page)
        await enter(page, "wrong")
        error = page.get_by_test_id("access-error")
        await error.get_by_text("not valid").wait_for()
        field = page.get_by_label("Access token")
        assert await field.get_attribute("aria-invalid") == "true"
        described = str(await field.get_attribute("aria-describedby")).split()
        assert await error.get_attribute("id") in described
        assert await field.input_value() == ""
        await enter(page, TOKEN)
        conversation = await model.next()
        await conversation.finish()
        await shows(page, "finished")
        assert model.waiting == 0


async def test_a_reload_and_a_second_tab_go_on_without_asking(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start({**env, **CLOSED}, **WARM) as function:
        page = await browser.open(function)
        conversation = await let_in(page, model)
        await conversation.say("one ")
        await reads(page, "one ")
        await page.reload()
        other = await browser.open(function, page.url)
        await asyncio.gather(reads(page, "one "), reads(other, "one "))
        await conversation.say("two ")
        await asyncio.gather(reads(page, "one two "), reads(other, "one two "))
        await other.get_by_test_id("stop").click()
        await asyncio.gather(shows(page, "cancelled"), shows(other, "cancelled"))
        assert model.waiting == 0


async def test_an_address_alone_shows_nothing_to_another_browser(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start({**env, **CLOSED}, **WARM) as function, profile() as stranger:
        page = await browser.open(function)
        conversation = await let_in(page, model)
        await conversation.say("one ")
        await reads(page, "one ")
        elsewhere = await stranger.open(function, page.url)
        await shows(elsewhere, "locked")
        assert await elsewhere.get_by_test_id("answer").text_content() == ""
        await enter(elsewhere, TOKEN)
        await reads(elsewhere, "one ")
        await conversation.finish()
        await shows(elsewhere, "finished")


async def test_a_token_that_is_withdrawn_in_mid_answer_is_asked_for_where_the_answer_stopped(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate

    async def withdrawn(route: Route) -> None:
        # Withdrawing an API token invalidates every stream token that it has signed.
        url = re.sub(r"(token=[^&]+)....", r"\1AAAA", route.request.url)
        headers = {**route.request.headers, "authorization": f"Bearer {TOKEN[::-1]}"}
        await route.continue_(headers=headers, url=url)

    async with start({**env, **CLOSED}, **WARM) as function:
        page = await browser.open(function)
        conversation = await let_in(page, model)
        await conversation.say("one ")
        await reads(page, "one ")
        await page.route("**/streams/**", withdrawn)
        await drop_reader(function, events_path(page))
        await shows(page, "locked")
        await reads(page, "one ")
        await page.get_by_test_id("access-error").get_by_text("not valid").wait_for()
        await page.unroute("**/streams/**", withdrawn)
        await enter(page, TOKEN)
        await conversation.say("two ")
        await reads(page, "one two ")
        await conversation.finish()
        await shows(page, "finished")
        assert model.waiting == 0


async def test_a_stored_token_can_be_forgotten_in_all_tabs(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start({**env, **CLOSED}, **WARM) as function:
        page = await browser.open(function)
        await (await let_in(page, model)).finish()
        await shows(page, "finished")
        other = await browser.open(function)
        await page.get_by_test_id("new").click()
        await page.get_by_test_id("forget").click()
        assert TOKEN not in await page.evaluate("JSON.stringify(localStorage)")
        for tab in (page, other):
            await tab.get_by_test_id("forget").wait_for(state="hidden")
            await refused(tab)


async def test_a_browser_without_storage_asks_once_a_page(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    forbidden = "Object.defineProperty(window, 'localStorage', { get() { throw new Error(); } })"
    await browser.context.add_init_script(forbidden)
    async with start({**env, **CLOSED}, **WARM) as function:
        page = await browser.open(function)
        await (await let_in(page, model)).finish()
        await shows(page, "finished")
        await (await asked(page, model, "again")).finish()
        await shows(page, "finished")


async def test_over_a_limit_the_page_says_when_to_try_again(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start({**env, **CLOSED, "TOKENS_PER_DAY": "6000"}, **WARM) as function:
        page = await browser.open(function)
        conversation = await let_in(page, model)
        other = await browser.open(function)
        await other.get_by_test_id("prompt").fill("and this?")
        await other.keyboard.press("Enter")
        await shows(other, "failed")
        error = str(await other.get_by_test_id("error").text_content())
        assert re.search(r"Possible again at \d\d:\d\d:\d\d\.", error)
        assert await other.get_by_test_id("prompt").input_value() == "and this?"
        assert await other.get_by_test_id("again").is_visible()
        await conversation.finish()
        await shows(page, "finished")


@asynccontextmanager
async def another_origin() -> AsyncIterator[str]:
    """The page of another site that uses the client."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + ANOTHER_PAGE.encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_the_client_works_from_an_allowed_origin_and_resumes_there(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with another_origin() as origin:
        open_to = {"ALLOWED_ORIGINS": origin, "REQUESTS_PER_MINUTE": "1"}
        async with start({**env, **CLOSED, **open_to}, **WARM) as function:
            page = await browser.context.new_page()
            await page.goto(f"{origin}/?api={function.url}&bearer={TOKEN}")
            await until(page, "() => window.ask")
            stream_id = await page.evaluate("ask()")
            conversation = await model.next()
            says = "text => document.querySelector('output').textContent === text"
            await conversation.say("one ")
            await until(page, says, "one ")
            await drop_reader(function, f"/streams/{stream_id}/events")
            await conversation.say("two ")
            await until(page, says, "one two ")
            await conversation.finish()
            await until(page, "() => stream.state === 'finished'")
            refusal = await page.evaluate(
                "ask().catch(({ code, retryAfter }) => [code, retryAfter])"
            )
            assert refusal[0] == "rate_limited"
            assert 0 < refusal[1] <= 60


async def test_a_copied_link_opens_the_conversation_to_read_and_going_on_asks_for_a_token(
    start: Start, gate: Gated, browser: Profile
) -> None:
    """The token of the stream is in the fragment, so no server sees the address with it."""
    model, env = gate
    async with start({**env, **CLOSED}, **WARM) as function, profile() as stranger:
        page = await browser.open(function)
        for ask, prompt, said in ((let_in, "first?", "one"), (asked, "second?", "two")):
            conversation = await ask(page, model, prompt)
            await conversation.say(said)
            await conversation.finish()
            await reads(page, said)
            await shows(page, "finished")
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await page.get_by_test_id("link").click()
        await page.get_by_text("Link copied", exact=True).wait_for()
        link = await page.evaluate("navigator.clipboard.readText()")
        assert link.partition("#")[0] == page.url
        assert link.partition("#")[2]

        elsewhere = await stranger.open(function, link)
        failed: list[int] = []
        elsewhere.on("response", lambda each: failed.append(each.status))
        for visit in range(2):
            if visit:
                await elsewhere.reload()
            await reads(elsewhere, "two")
            await reads(elsewhere, "one", turn=0)
            assert await prompts(elsewhere) == ["first?", "second?"]
            assert await elsewhere.get_by_test_id("access").is_hidden()
            await shows(elsewhere, "finished")
        assert {status for status in failed if status >= 400} == set(), "nothing is asked in vain"

        await refused(elsewhere, "third?")
        await enter(elsewhere, TOKEN)
        conversation = await model.next()
        assert conversation.prompt == "third?"
        await conversation.say("three")
        await conversation.finish()
        await reads(elsewhere, "three")
        await reads(elsewhere, "one", turn=0)
        await shows(elsewhere, "finished")
        assert "#" not in elsewhere.url


async def test_a_link_with_a_token_that_is_not_valid_asks_for_an_access_token(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start({**env, **CLOSED}, **WARM) as function, profile() as stranger:
        page = await browser.open(function)
        conversation = await let_in(page, model)
        await conversation.say("one")
        await conversation.finish()
        await shows(page, "finished")
        elsewhere = await stranger.open(function, f"{page.url}#wrong")
        await shows(elsewhere, "locked")
        await enter(elsewhere, TOKEN)
        await reads(elsewhere, "one")
        assert "#" not in elsewhere.url
