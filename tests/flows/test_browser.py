"""The chat page in Chromium, on the real function: what a person sees when things go wrong."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Error, Route

from tests.flows.chat_page import (
    WARM,
    Profile,
    asked,
    drop_reader,
    events_path,
    profile,
    reads,
    shows,
    until,
)
from tests.flows.conftest import Function, Gate, Start

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

DROPS = 10
PARTS = ("client.js", "favicon.svg", "page.css", "page.js")
MARKUP = "<img src=x onerror=document.body.remove()> "

Gated = tuple[Gate, dict[str, str]]


@pytest.fixture
async def browser() -> AsyncIterator[Profile]:
    async with profile() as browser:
        yield browser


def invocations(function: Function) -> int:
    return sum("START RequestId" in line for line in function.lines)


async def test_words_are_on_the_page_before_the_model_says_the_next(
    start: Start, gate: Gated, browser: Profile
) -> None:
    """And as text, whatever they look like; a screen reader hears the start and the end only."""
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        conversation = await asked(page, model, MARKUP)
        answer, announcer = page.get_by_test_id("answer"), page.get_by_test_id("announcer")
        said = ""
        for word in (MARKUP, "two & ", "三 "):
            await conversation.say(word)
            said += word
            await reads(page, said)
        await until(page, "() => document.querySelector('#announcer').textContent")
        assert await announcer.text_content() == "Answer started."
        assert await answer.get_attribute("aria-busy") == "true"
        await conversation.finish()
        await shows(page, "finished")
        assert await answer.get_attribute("aria-busy") == "false"
        assert await page.locator("article img").count() == 0
        await announcer.get_by_text("Finished. The answer has 6 words.").wait_for()


async def test_a_reload_in_mid_answer_shows_it_all_and_goes_on(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        conversation = await asked(page, model, "What now?")
        await conversation.say("one ")
        await reads(page, "one ")
        await page.reload()
        await reads(page, "one ")
        await conversation.say("two ")
        await reads(page, "one two ")
        await conversation.finish()
        await shows(page, "finished")
        assert await page.get_by_role("heading").text_content() == "What now?"
        assert (await page.get_by_test_id("ttft").inner_text()).endswith(" s")
        assert model.waiting == 0


@pytest.mark.alone
async def test_two_tabs_show_one_answer_and_stop_in_one_stops_the_other_within_a_second(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        conversation = await asked(page, model)
        await conversation.say("one ")
        await reads(page, "one ")
        other = await browser.open(function, page.url)
        await reads(other, "one ")
        await conversation.say("two ")
        await asyncio.gather(reads(page, "one two "), reads(other, "one two "))
        await other.get_by_test_id("stop").click()
        async with asyncio.timeout(1):
            await asyncio.gather(shows(page, "cancelled"), shows(other, "cancelled"))
        await conversation.hung_up()


async def test_nobody_reconnects_to_a_finished_stream(
    start: Start, gate: Gated, browser: Profile
) -> None:
    """The page closes its EventSource at the end; one that does not is answered 204."""
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        asked_for: list[str] = []
        page.on("request", lambda request: asked_for.append(request.url))
        conversation = await asked(page, model)
        await conversation.say("one ")
        await conversation.finish()
        await shows(page, "finished")
        snapshot = (await function.http.get(events_path(page).removesuffix("/events"))).json()
        ready_state = await page.evaluate(
            """url => new Promise((resolve) => {
              const source = new EventSource(url);
              source.onerror = () => resolve(source.readyState);
            })""",
            f"{events_path(page)}?last_event_id={snapshot['last_event_id']}",
        )
    assert ready_state == 2, "closed for good"
    assert len([url for url in asked_for if url.endswith("/events")]) == 1


async def test_ten_dropped_connections_cost_nothing(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        conversation = await asked(page, model)
        said = ""
        for number in range(DROPS):
            await conversation.say(f"{number} ")
            said += f"{number} "
            await reads(page, said)
            await drop_reader(function, events_path(page))
            await shows(page, "reconnecting")
        await conversation.finish()
        await shows(page, "finished")
        await reads(page, said)
        log = page.get_by_test_id("journal").get_by_text("The connection ended after event")
        assert await log.count() == DROPS
        assert model.waiting == 0


async def test_the_page_tells_that_another_sandbox_took_over(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start({**env, "LEASE": "1"}) as function:
        page = await browser.open(function)
        conversation = await asked(page, model)
        await conversation.say("one ")
        await reads(page, "one ")
        (writer,) = await function.serving(events_path(page))
        await function.do("kill", writer)
        await shows(page, "reconnecting")
        await shows(page, "taken-over")
        successor = await model.next()
        assert successor.continue_from == "one "
        await successor.say("two ")
        await successor.finish()
        await shows(page, "finished")
        await reads(page, "one two ")


async def test_the_page_is_used_from_the_keyboard(
    start: Start, gate: Gated, browser: Profile
) -> None:
    """Shift+Enter makes a line, Enter sends, Escape stops."""
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        await page.keyboard.type("one")
        await page.keyboard.press("Shift+Enter")
        await page.keyboard.type("two")
        await page.keyboard.press("Enter")
        await model.next()
        assert await page.get_by_role("heading").text_content() == "one\ntwo"
        await page.keyboard.press("Escape")
        await shows(page, "cancelled")


async def test_going_back_shows_the_stream_before(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        for word in ("first", "second"):
            conversation = await asked(page, model, word)
            await conversation.say(word)
            await conversation.finish()
            await reads(page, word)
            await shows(page, "finished")
        await page.go_back()
        await reads(page, "first")
        await page.get_by_test_id("new").click()
        assert "stream" not in page.url
        assert await page.get_by_test_id("answer").is_hidden()


async def test_a_reader_who_scrolled_up_is_left_there_until_they_jump(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        conversation = await asked(page, model)
        at_end = "() => innerHeight + scrollY >= document.documentElement.scrollHeight - 1"
        said = ""
        for number in range(3):
            words = f"{number} " * 1000
            await conversation.say(words)
            said += words
            await reads(page, said)
            await until(page, at_end)
        await page.mouse.wheel(0, -200)
        latest = page.get_by_test_id("latest")
        await latest.wait_for()
        top = await page.evaluate("scrollY")
        await conversation.say("more")
        await reads(page, f"{said}more")
        assert await page.evaluate("scrollY") == top
        await latest.click()
        await until(page, at_end)
        await conversation.finish()
        await shows(page, "finished")


async def test_a_refused_prompt_is_given_back_with_the_reason(
    start: Start, browser: Profile
) -> None:
    async with start(**WARM) as function:
        page = await browser.open(function)
        await page.get_by_test_id("prompt").fill("x" * 100_001)
        await page.get_by_test_id("send").click()
        await shows(page, "failed")
        refusal = await function.http.post("/streams", json={"prompt": "x" * 100_001})
        error = page.get_by_test_id("error")
        assert refusal.json()["error"]["message"] in str(await error.text_content())
        assert await page.get_by_test_id("again").is_hidden()
        assert len(await page.get_by_test_id("prompt").input_value()) == 100_001


async def test_an_address_without_a_stream_says_so(start: Start, browser: Profile) -> None:
    async with start(**WARM) as function:
        page = await browser.open(function, f"/?stream={'a' * 32}")
        await shows(page, "lost")
        refusal = await function.http.get(f"/streams/{'a' * 32}")
        error = page.get_by_test_id("error")
        assert refusal.json()["error"]["message"] in str(await error.text_content())


async def test_a_script_that_gets_into_the_page_does_not_run(
    start: Start, browser: Profile
) -> None:
    """Nor does markup become elements; both are reported, so that the other tests would tell."""
    async with start(**WARM) as function:
        page = await browser.open(function)

        async def inject(route: Route) -> None:
            answer = await route.fetch()
            script = "<body><script>document.title = 'taken'</script>"
            await route.fulfill(
                response=answer, body=(await answer.text()).replace("<body>", script)
            )

        await page.route("**/", inject)
        await page.reload()
        assert await page.get_by_text("Answers that outlive").count() == 1
        assert await page.title() != "taken"
        (refused,) = browser.violations
        assert "inline script" in refused
        with pytest.raises(Error, match="TrustedHTML"):
            await page.evaluate("document.body.innerHTML = '<img src=x onerror=alert()>'")
        browser.violations.clear()


async def test_coming_back_to_the_page_is_one_invocation(start: Start, browser: Profile) -> None:
    """Each may be a cold start: only the page itself is asked for again."""
    async with start(**WARM) as function:
        for expected in (1 + len(PARTS), 1):
            before = invocations(function)
            await browser.open(function)
            assert invocations(function) - before == expected


async def test_trying_again_after_the_network_was_away_makes_one_stream(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        await page.context.set_offline(offline=True)
        await page.get_by_test_id("prompt").fill("hi")
        await page.keyboard.press("Enter")
        await shows(page, "failed")
        await page.context.set_offline(offline=False)
        await page.get_by_test_id("again").click()
        conversation = await model.next()
        await conversation.say("one ")
        await reads(page, "one ")
        await conversation.finish()
        await shows(page, "finished")
        assert model.waiting == 0
