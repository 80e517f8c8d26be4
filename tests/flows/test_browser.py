"""The chat page in Chromium, on the real function, through the faults that people meet."""

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
    journal,
    profile,
    prompts,
    reads,
    shows,
    until,
)
from tests.flows.conftest import Function, Gate, Start

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

DROPS = 10
HEAR = """() => {
  window.heard = [];
  const announcer = document.querySelector("#announcer");
  new MutationObserver(() => heard.push(announcer.textContent))
    .observe(announcer, { childList: true, characterData: true, subtree: true });
}"""
PARTS = ("page.css", "page.js", "favicon.svg")
MARKUP = "<img src=x onerror=document.body.remove()> "

Gated = tuple[Gate, dict[str, str]]


@pytest.fixture
async def browser() -> AsyncIterator[Profile]:
    async with profile() as browser:
        yield browser


async def logged(function: Function, path: str, answer: str) -> None:
    """Return when the log has exactly this answer."""
    url = path.removesuffix("/events")
    async with asyncio.timeout(10):
        while (await function.http.get(url)).json()["answer"] != answer:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def invocations(function: Function) -> int:
    return sum("START RequestId" in line for line in function.lines)


async def test_words_are_on_the_page_before_the_model_says_the_next(
    start: Start, gate: Gated, browser: Profile
) -> None:
    """Markup stays text. A screen reader announces only the start and the end."""
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
        assert await prompts(page) == ["What now?"]
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


async def test_a_finished_stream_is_not_read_again(
    start: Start, gate: Gated, browser: Profile
) -> None:
    """The page closes its EventSource at the end; an EventSource that stays open gets a 204."""
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


async def test_the_page_reports_that_another_sandbox_took_over(
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


async def test_the_journal_reports_a_take_over_also_behind_old_events(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start({**env, "LEASE": "1"}) as function:
        page = await browser.open(function)
        conversation = await asked(page, model)
        await conversation.say("one ")
        await reads(page, "one ")
        path = events_path(page)
        (writer,) = await function.serving(path)
        await browser.context.set_offline(offline=True)
        await drop_reader(function, path)
        await shows(page, "reconnecting")
        await conversation.say("two ")
        await logged(function, path, "one two ")
        await function.do("kill", writer)
        await browser.context.set_offline(offline=False)
        await (await model.next()).finish()
        await shows(page, "finished")
        await reads(page, "one two ")
        told = [line for line in await journal(page) if "attempt 2" in line]
        assert told == ["Another sandbox took over (attempt 2, at the last character)"]


@pytest.mark.parametrize("width", [320, 390, 1280, 1920])
async def test_a_reassuring_hint_is_never_cut_off(
    start: Start, gate: Gated, browser: Profile, width: int
) -> None:
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        await page.set_viewport_size({"width": width, "height": 800})
        conversation = await asked(page, model)
        await conversation.say("one ")
        await reads(page, "one ")
        await browser.context.set_offline(offline=True)
        await drop_reader(function, events_path(page))
        await shows(page, "reconnecting")
        hint = page.get_by_test_id("hint")
        assert await hint.text_content() == "nothing is lost"
        assert await hint.is_visible()
        assert await hint.evaluate(
            "hint => hint.parentElement.scrollWidth <= hint.parentElement.clientWidth"
        )
        await browser.context.set_offline(offline=False)
        await conversation.finish()
        await shows(page, "finished")


async def test_a_proxy_that_buffers_responses_is_reported_once_and_without_alarm(
    start: Start, gate: Gated, browser: Profile
) -> None:
    """`sam local` and HTTP APIs buffer every response."""
    model, env = gate
    async with start({**env, "LAMBDA_STREAM_BUFFERED": "1"}, **WARM) as function:
        page = await browser.open(function)
        await page.evaluate(HEAR)
        conversation = await asked(page, model)
        said = ""
        for number in range(5):
            await conversation.say(f"{number} ")
            said += f"{number} "
            await reads(page, said)
        await shows(page, "in-steps")
        await conversation.finish()
        await shows(page, "finished")
        await page.get_by_test_id("announcer").get_by_text("Finished.").wait_for()
        heard = " ".join(await page.evaluate("heard"))
        assert heard.count("Reading in steps.") == heard.count("Answer started.") == 1
        assert "onnect" not in heard
        told = "A proxy holds the answer back, so the page reads it in steps"
        assert (await journal(page)).count(told) == 1
        assert not any("connection ended" in line for line in await journal(page))
        assert await page.locator("#strip [data-kind=gap]").count() == 0


async def test_a_model_that_is_silent_is_called_so(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        conversation = await asked(page, model)
        await conversation.say("one ")
        await page.get_by_test_id("hint").get_by_text("the model is silent").wait_for()
        assert await page.get_by_test_id("rate").text_content() == ""
        await conversation.say("two ")
        await until(page, "() => document.querySelector('#hint').textContent === ''")
        await conversation.finish()
        await shows(page, "finished")


async def test_each_paragraph_has_the_direction_of_its_own_words(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        conversation = await asked(page, model)
        said = "שלום עולם.\n\nAnd a line in English."
        await conversation.say(said)
        await reads(page, said)
        left_to_right = """([text, first, last]) => {
          const walker = document.createTreeWalker(
            document.querySelector(".answer .text"), NodeFilter.SHOW_TEXT);
          while (!walker.nextNode().data.includes(text));
          const edge = (index) => {
            const range = document.createRange();
            range.setStart(walker.currentNode, index);
            range.setEnd(walker.currentNode, index + 1);
            return range.getBoundingClientRect().left;
          };
          return edge(first) < edge(last);
        }"""
        assert await page.evaluate(left_to_right, ["And a line", 0, 21])
        assert not await page.evaluate(left_to_right, ["שלום", 0, 9])
        await conversation.finish()
        await shows(page, "finished")


@pytest.mark.provider("openai")
async def test_a_failure_that_only_the_operator_can_repair_is_not_the_readers_task(
    start: Start, browser: Profile
) -> None:
    """The operator finds the message of the server under What happened."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        env = {
            "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
            "OPENAI_API_KEY": "sk-refused",
            "MODELS": "any",
        }
        chosen = {"provider": "openai", "handler": "app.main.handler", **WARM}
        async with start(env, **chosen) as function:
            page = await browser.open(function)
            await page.get_by_test_id("prompt").fill("hi")
            await page.keyboard.press("Enter")
            await shows(page, "failed")
            error = page.locator(".error .message")
            told = "The model refused our key. Please tell the person who runs this page."
            assert await error.text_content() == told
            assert any("The operator checks the key" in line for line in await journal(page))


async def test_the_frame_of_the_focused_prompt_is_whole(start: Start, browser: Profile) -> None:
    async with start(**WARM) as function:
        page = await browser.open(function)
        await page.get_by_test_id("prompt").focus()
        frame = "document.querySelector('#form').getBoundingClientRect().top"
        dock = "document.querySelector('#dock').getBoundingClientRect().top"
        assert await page.evaluate(f"{frame} - {dock}") >= 1, "above the dock is its shadow"


async def test_forced_colours_leave_the_strip_and_the_focus_visible(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        await page.emulate_media(forced_colors="active")
        conversation = await asked(page, model)
        await conversation.say("one ")
        await reads(page, "one ")
        colour = "getComputedStyle(document.querySelector('{}')).{}"
        ground = await page.evaluate(colour.format("body", "backgroundColor"))
        stretch = colour.format("#strip [data-kind=answer]", "backgroundColor")
        await until(page, "() => document.querySelector('#strip [data-kind=answer]')")
        assert await page.evaluate(stretch) not in {ground, "rgba(0, 0, 0, 0)"}
        await page.get_by_test_id("prompt").focus()
        assert await page.evaluate(colour.format("#form", "outlineStyle")) == "solid"
        await conversation.finish()
        await shows(page, "finished")


async def test_a_prompt_that_is_sent_too_early_waits_and_the_page_says_why(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        conversation = await asked(page, model)
        await conversation.say("one ")
        await reads(page, "one ")
        await page.get_by_test_id("prompt").fill("and then?")
        await page.keyboard.press("Enter")
        why = "wait for the end, or stop"
        await page.get_by_test_id("hint").get_by_text(why).wait_for()
        await page.get_by_test_id("announcer").get_by_text(why).wait_for()
        await conversation.finish()
        await shows(page, "finished")
        await page.keyboard.press("Enter")
        assert (await model.next()).prompt == "and then?"


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
        assert await prompts(page) == ["one\ntwo"]
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
        assert await prompts(page) == ["first"]
        await page.go_forward()
        await reads(page, "second")
        assert await prompts(page) == ["first", "second"]
        await page.get_by_test_id("new").click()
        assert "stream" not in page.url
        assert await page.get_by_test_id("answer").count() == 0


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
        assert "There is no such conversation" in str(await error.text_content())
        message = refusal.json()["error"]["message"]
        assert f"The server says: {message}" in await journal(page)


async def test_a_script_that_gets_into_the_page_does_not_run(
    start: Start, browser: Profile
) -> None:
    """Markup does not become elements either. Both are reported, so other tests would fail."""
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
    """The browser requests only the page again, because each request may be a cold start."""
    async with start(**WARM) as function:
        for expected in (1 + len(PARTS) + 1, 1):  # one tells that no token is needed
            before = invocations(function)
            page = await browser.open(function)
            await until(page, "() => localStorage.length === 1")
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
