"""Conversations on the chat page, in Chromium, on the real function."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Page, Route

from tests.flows.chat_page import (
    WARM,
    Profile,
    asked,
    copied,
    events_path,
    profile,
    prompts,
    reads,
    shows,
    stream_of,
    until,
)
from tests.flows.conftest import Function, Gate, Start

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

Gated = tuple[Gate, dict[str, str]]


@pytest.fixture
async def browser() -> AsyncIterator[Profile]:
    async with profile() as browser:
        yield browser


async def turn(page: Page, model: Gate, prompt: str, answer: str) -> str:
    """A whole turn; the id of its stream."""
    conversation = await asked(page, model, prompt)
    assert conversation.prompt == prompt
    await conversation.say(answer)
    await conversation.finish()
    await reads(page, answer)
    await shows(page, "finished")
    return stream_of(page)


async def told(function: Function, stream: str) -> list[tuple[str, str]]:
    """The messages that a stream answers, as the server has them."""
    snapshot = (await function.http.get(f"/streams/{stream}")).json()
    return [(each["role"], each["content"]) for each in snapshot["messages"]]


async def versions(page: Page) -> list[str]:
    """Which version of which number each turn is; turns with one version tell nothing."""
    return await page.locator(".which:visible").all_inner_texts()


async def copied_link(page: Page) -> str:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.get_by_test_id("link").click()
    await page.get_by_text("Link copied", exact=True).wait_for()
    link: str = await page.evaluate("navigator.clipboard.readText()")
    return link


async def listed(page: Page) -> list[str]:
    return await page.locator("#conversations a").all_inner_texts()


async def test_a_conversation_goes_on_through_a_kill_a_reload_and_on_a_second_device(
    start: Start, gate: Gated, browser: Profile
) -> None:
    """Each answer is whole in the page and in the log, and each turn knows the ones before."""
    model, env = gate
    async with start({**env, "LEASE": "1"}) as function, profile() as device:
        page = await browser.open(function)
        await turn(page, model, "first?", "first!")

        conversation = await asked(page, model, "second?")
        await conversation.say("sec")
        await reads(page, "sec")
        (writer,) = await function.serving(events_path(page))
        await function.do("kill", writer)
        successor = await model.next()
        assert successor.continue_from == "sec"
        await successor.say("ond!")
        await successor.finish()
        await shows(page, "finished")
        await reads(page, "second!")
        notice = page.get_by_test_id("taken-over").last
        assert await notice.inner_text() == "Another sandbox took over."

        conversation = await asked(page, model, "third?")
        await conversation.say("thi")
        await reads(page, "thi")
        await page.reload()
        await reads(page, "thi")
        await reads(page, "second!", turn=-2)
        await conversation.say("rd!")
        await conversation.finish()
        await shows(page, "finished")
        await reads(page, "third!")
        assert await copied(page) == "third!"

        other = await device.open(function, await copied_link(page))
        for at, answer in enumerate(("first!", "second!", "third!")):
            await reads(other, answer, turn=at)
        assert await prompts(other) == ["first?", "second?", "third?"]
        last = await turn(other, model, "fourth?", "fourth!")
        assert model.waiting == 0
        assert await told(function, last) == [
            *(("user", "first?"), ("assistant", "first!")),
            *(("user", "second?"), ("assistant", "second!")),
            *(("user", "third?"), ("assistant", "third!")),
            ("user", "fourth?"),
        ]


async def test_both_versions_of_an_edited_prompt_and_of_an_answer_stay_alive(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        await turn(page, model, "first?", "one")
        old = await turn(page, model, "second?", "two")

        await page.get_by_test_id("regenerate").first.click()
        conversation = await model.next()
        assert conversation.prompt == "first?"
        await conversation.say("uno")
        await conversation.finish()
        await shows(page, "finished")
        await reads(page, "uno")
        assert await prompts(page) == ["first?"]
        assert await versions(page) == ["2 of 2"]
        new = await turn(page, model, "more?", "due")

        await page.get_by_label("Previous version").first.click()
        await reads(page, "two")
        await reads(page, "one", turn=0)
        assert stream_of(page) == old
        assert await versions(page) == ["1 of 2"]

        await page.get_by_test_id("edit").last.click()
        assert await page.get_by_label("Edit the prompt").last.input_value() == "second?"
        await page.keyboard.type(" really")
        await page.keyboard.press("Enter")
        conversation = await model.next()
        assert conversation.prompt == "second? really"
        await conversation.say("yes")
        await conversation.finish()
        await shows(page, "finished")
        await reads(page, "yes")
        assert await versions(page) == ["1 of 2", "2 of 2"]
        edited = stream_of(page)
        await page.reload()
        await reads(page, "yes")
        assert await versions(page) == ["1 of 2", "2 of 2"]

        await page.get_by_label("Next version").first.click()
        await reads(page, "due")
        assert stream_of(page) == new
        assert await told(function, edited) == [
            *(("user", "first?"), ("assistant", "one"), ("user", "second? really")),
        ]
        assert model.waiting == 0


async def test_an_edit_can_be_given_up_and_sends_nothing(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        await turn(page, model, "first?", "one")
        await page.get_by_test_id("edit").click()
        await page.keyboard.type("no")
        await page.keyboard.press("Escape")
        assert await prompts(page) == ["first?"]
        assert await page.evaluate("document.activeElement.dataset.testid") == "edit"
        assert model.waiting == 0


async def test_the_list_has_the_conversations_of_this_browser(
    start: Start, gate: Gated, browser: Profile
) -> None:
    """Opened, deleted, brought back, and begun, with another tab that sees it all."""
    model, env = gate
    async with start(env, **WARM) as function, profile() as stranger:
        page = await browser.open(function)
        other = await browser.open(function)
        first = await turn(page, model, "first?", "one")
        await page.keyboard.press("Control+Shift+O")
        assert stream_of(page) == ""
        assert await page.get_by_test_id("turn").count() == 0
        await turn(page, model, "second?", "two")
        for tab in (page, other):
            assert await listed(tab) == ["second?", "first?"]
        await other.get_by_role("link", name="first?").click()
        await reads(other, "one")
        assert stream_of(other) == first
        await turn(other, model, "and?", "three")
        assert await listed(page) == ["first?", "second?"]

        await page.locator("li", has_text="second?").hover()
        await page.get_by_label("Delete “second?”").click()
        await page.get_by_test_id("forgotten").get_by_text("Forgotten in this browser").wait_for()
        await until(other, "() => document.querySelectorAll('#conversations a').length === 1")
        assert stream_of(page) == "", "the conversation on the page was deleted"
        assert await listed(page) == ["first?"]
        await page.get_by_test_id("undo").click()
        assert await listed(page) == ["first?", "second?"]
        await page.reload()
        assert await listed(page) == ["first?", "second?"]
        await page.get_by_role("link", name="first?").click()
        await reads(page, "three")
        assert await prompts(page) == ["first?", "and?"]

        elsewhere = await stranger.open(function, page.url)
        await reads(elsewhere, "three")
        assert await listed(elsewhere) == [], "it belongs to another browser"


async def test_without_storage_a_conversation_goes_on_and_is_listed_until_it_is_left(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    full = "Storage.prototype.setItem = () => { throw new DOMException('full'); };"
    await browser.context.add_init_script(full)
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        await turn(page, model, "first?", "one")
        await turn(page, model, "second?", "two")
        assert await listed(page) == ["first?"]
        await page.get_by_test_id("regenerate").last.click()
        await (await model.next()).finish()
        await shows(page, "finished")
        assert await versions(page) == ["2 of 2"]
        await page.reload()
        await shows(page, "finished")
        assert await prompts(page) == ["first?", "second?"]
        assert await listed(page) == []


async def test_arrow_up_recalls_the_prompts_before(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        await turn(page, model, "first?", "one")
        await turn(page, model, "second?", "two")
        box = page.get_by_test_id("prompt")
        await box.focus()
        seen = []
        for key in ("ArrowUp", "ArrowUp", "ArrowUp", "ArrowDown", "ArrowDown"):
            await page.keyboard.press(key)
            seen.append(await box.input_value())
        assert seen == ["second?", "first?", "first?", "second?", ""]
        await box.fill("typed")
        await page.keyboard.press("ArrowUp")
        assert await box.input_value() == "typed"


async def test_options_reach_the_request_and_are_kept(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    async with start(env, **WARM) as function:
        page = await browser.open(function)
        bodies: list[Any] = []
        page.on("request", lambda each: bodies.append(each.post_data_json or {}))
        await page.get_by_test_id("options").click()
        await page.get_by_test_id("system").fill("Be brief.")
        await page.get_by_test_id("temperature").fill("0.5")
        await page.get_by_test_id("max-tokens").fill("7")
        await page.get_by_test_id("options-close").click()
        assert await page.get_by_test_id("options").inner_text() == "Options (3)"
        await page.reload()
        await (await asked(page, model)).finish()
        await shows(page, "finished")
        chosen = {"system": "Be brief.", "temperature": 0.5, "max_tokens": 7}
        assert [each for each in bodies if each] == [{"prompt": "hi", **chosen}]
        first = stream_of(page)
        await page.get_by_test_id("options").click()
        await page.get_by_test_id("options-reset").click()
        await page.get_by_test_id("options-close").click()
        await (await asked(page, model, "again")).finish()
        await shows(page, "finished")
        assert [each for each in bodies if each][1:] == [{"prompt": "again", "previous": first}]


async def test_models_and_agents_can_be_chosen_where_there_are_several(
    start: Start, gate: Gated, browser: Profile
) -> None:
    model, env = gate
    bodies: list[Any] = []

    async def several(route: Route) -> None:
        agents = [{"name": name, "description": f"It is {name}."} for name in ("chat", "poet")]
        health = {"status": "ok", "access": "open", "models": ["small", "large"], "agents": agents}
        await route.fulfill(json=health)

    async def usual(route: Route) -> None:
        body: Any = route.request.post_data_json
        bodies.append(body)
        await route.continue_(post_data={"prompt": body["prompt"]})

    async with start(env, **WARM) as function:
        page = await browser.open(function)
        await until(page, "() => localStorage.length === 1")
        assert await page.get_by_test_id("model").is_hidden()
        assert await page.get_by_test_id("agent").is_hidden()
        await page.evaluate("localStorage.clear()")
        await page.route("**/healthz", several)
        await page.route("**/streams", usual)
        await page.reload()
        await page.get_by_label("Model").select_option("large")
        await page.get_by_label("Agent").select_option("poet")
        await page.reload()
        assert await page.get_by_label("Model").input_value() == "large"
        await (await asked(page, model)).finish()
        await shows(page, "finished")
        assert bodies == [{"prompt": "hi", "model": "large", "agent": "poet"}]


async def test_a_theme_is_kept_and_never_shows_the_other_one_first(
    start: Start, browser: Profile
) -> None:
    look = """() => {
      window.shown = [];
      const look = () => {
        const { documentElement: root, body } = document;
        if (body && getComputedStyle(body).visibility === "visible") {
          shown.push(getComputedStyle(root).backgroundColor);
        }
        if (shown.length < 20) requestAnimationFrame(look);
      };
      look();
    }"""
    async with start(**WARM) as function:
        page = await browser.open(function)
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        light = await page.evaluate(ground)
        await page.get_by_test_id("options").click()
        await page.get_by_label("Dark").check()
        dark = await page.evaluate(ground)
        assert dark != light
        other = await browser.open(function)
        assert await other.evaluate(ground) == dark
        await page.get_by_label("Light").check()
        await until(other, f"light => {ground} === light", light)
        await page.get_by_label("Dark").check()
        await browser.context.add_init_script(f"({look})()")
        await page.reload()
        await until(page, "() => shown.length >= 20")
        assert set(await page.evaluate("shown")) == {dark}
        await page.get_by_test_id("options").click()
        await page.get_by_label("System", exact=True).check()
        assert await page.evaluate(ground) == light


async def test_the_page_appears_without_its_script(start: Start, browser: Profile) -> None:
    async with start(**WARM) as function:
        page = await browser.context.new_page()
        await page.route("**/page.js", lambda _: asyncio.sleep(0))
        await page.goto(str(function.http.base_url), wait_until="commit")
        await page.get_by_role("heading", name="Answers that outlive the connection").wait_for()
        await page.get_by_test_id("prompt").wait_for()
        await page.close()


async def test_the_thinking_of_an_earlier_turn_is_read_when_the_turn_comes_into_view(
    start: Start, browser: Profile
) -> None:
    async with start({"DEMO_TOKENS_PER_SECOND": "5000"}, **WARM) as function:
        page = await browser.open(function)
        first = ""
        for prompt in ("first?", "second?"):
            await page.get_by_test_id("prompt").fill(prompt)
            await page.keyboard.press("Enter")
            await until(page, "prompt => document.title.startsWith('first?')", prompt)
            await page.get_by_test_id("turn").last.locator("[data-state=finished]").wait_for()
            first = first or stream_of(page)
        asked_for: list[str] = []
        page.on("request", lambda each: asked_for.append(each.url.partition("/streams/")[2]))
        await page.reload()
        await shows(page, "finished")
        assert first not in asked_for, "it is above the screen"
        await page.get_by_test_id("question").first.scroll_into_view_if_needed()
        await page.locator(".turn:first-child .thoughts summary").wait_for()
        assert asked_for.count(first) == 1
