"""The parts of an answer on the page, in Chromium."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser

from tests.app.chat_page import Chat, chat
from tests.app.scripted_server import silence
from tests.chromium import chromium

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

CALL: dict[str, Any] = {"id": "1", "name": "weather", "arguments": {"place": "Ulm <b>"}}
MARKUP = "<img src=x onerror=document.body.remove()>"
HEAR = """() => {
  window.heard = [];
  const announcer = document.querySelector("#announcer");
  new MutationObserver(() => heard.push(announcer.textContent))
    .observe(announcer, { childList: true, characterData: true, subtree: true });
}"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def browser(anyio_backend: str) -> AsyncIterator[Browser]:
    assert anyio_backend == "asyncio"
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Chat]:
    async with chat(browser) as page:
        await page.open()
        yield page


async def state(page: Chat, name: str) -> None:
    await page.page.locator(f"[data-testid=state][data-state={name}]").wait_for()


async def journal(page: Chat) -> list[str]:
    """The lines of the journal, without their times."""
    lines = page.page.get_by_test_id("journal").locator("li")
    said: list[str] = await lines.evaluate_all("lines => lines.map((li) => li.lastChild.data)")
    return said


async def test_a_call_is_one_line_with_its_state_and_opens_to_what_went_in_and_out(
    page: Chat,
) -> None:
    page.say("tool_call", **CALL)
    page.say("tool_call", **{**CALL, "id": "2", "name": "mail"})
    given = '{"place":"Ulm <b>"}'
    await page.shows(f"weather {given} Running", f"mail {given} Running")
    page.say("tool_result", id="2", output=None, error="No such person.")
    page.say("tool_result", id="1", output={"sky": "blue"}, error=None)
    await page.shows(f"weather {given} Done", f"mail {given} Failed")
    weather, mail = page.part("tool").nth(0), page.part("tool").nth(1)
    assert await weather.locator("pre").nth(1).is_hidden()
    for tool in (weather, mail):
        await tool.locator("summary").click()
    assert await weather.locator("h3, pre").all_inner_texts() == [
        *("Arguments", '{\n  "place": "Ulm <b>"\n}'),
        *("Output", '{\n  "sky": "blue"\n}'),
    ]
    assert (await mail.locator("h3, pre").all_inner_texts())[2:] == ["Error", "No such person."]


async def test_a_call_that_is_open_stays_open_when_its_result_comes(page: Chat) -> None:
    page.say("tool_call", **CALL)
    tool = page.part("tool")
    await tool.locator("summary").click()
    assert await tool.locator("pre:visible").count() == 1
    page.say("tool_result", id="1", output="sunny", error=None)
    await tool.get_by_text("sunny", exact=True).wait_for()


async def test_a_call_without_a_result_at_the_end_does_not_run_on(page: Chat) -> None:
    page.say("tool_call", **CALL)
    page.say("progress", label="pages", done=1, total=None)
    await page.part("progress").locator("progress").wait_for()
    page.say("error", code="interrupted", message="It was interrupted.", retryable=False)
    await state(page, "failed")
    await page.shows('weather {"place":"Ulm <b>"} Not finished', "pages 1")
    assert await page.part("progress").locator("progress").is_hidden()


async def test_while_a_tool_runs_the_hint_names_it_and_not_the_model(page: Chat) -> None:
    async def beat() -> None:
        while True:
            page.say("heartbeat")
            await asyncio.sleep(1)

    page.say("tool_call", **CALL)
    hint = page.page.get_by_test_id("hint")
    beating = asyncio.create_task(beat())
    await hint.get_by_text("weather is running, ").wait_for()
    page.say("tool_result", id="1", output=1, error=None)
    await hint.get_by_text("the model is silent, ").wait_for()
    beating.cancel()


async def test_progress_is_a_bar_that_moves_in_place(page: Chat) -> None:
    page.say("progress", label="pages", done=1, total=3)
    page.say("progress", label="words", done=1200.5, total=None)
    await page.shows("pages 1 of 3", "words 1,200.5")
    bars = page.part("progress").locator("progress")
    assert await bars.evaluate_all("bars => bars.map((bar) => bar.position)") == [1 / 3, -1]
    page.say("progress", label="pages", done=3, total=3)
    page.say("progress", label="words", done=1300, total=0)
    await page.shows("pages 3 of 3", "words 1,300 of 0")
    assert await bars.evaluate_all("bars => bars.map((bar) => bar.position)") == [1, 1]
    assert await page.page.get_by_role("progressbar", name="pages").count() == 1


async def test_data_is_a_card_with_the_newest_value(page: Chat) -> None:
    page.say("data", name="price", value="3 €", id="p")
    page.say("data", name="stock", value={"left": [1]}, id="")
    await page.shows("price 3 €", 'stock { "left": [ 1 ] }')
    page.say("data", name="price", value=None, id="p")
    await page.shows("price null", 'stock { "left": [ 1 ] }')


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "/private", "", "http:"],
)
async def test_a_source_whose_address_is_none_of_the_web_is_text(page: Chat, url: str) -> None:
    page.say("source", title="Book", url=url)
    await page.shows(f"Book {url}".strip())
    assert await page.part("source").locator("a").count() == 0


async def test_a_source_is_a_link_that_tells_its_target_nothing(page: Chat) -> None:
    page.say("source", title="Sky", url="https://sky.example/blue?q=1")
    page.say("source", title="", url="http://sky.example/")
    await page.shows("Sky sky.example", "http://sky.example/ sky.example")
    links = page.part("source").locator("a")
    assert await links.evaluate_all("links => links.map((a) => [a.href, a.rel, a.target])") == [
        ["https://sky.example/blue?q=1", "noopener noreferrer", "_blank"],
        ["http://sky.example/", "noopener noreferrer", "_blank"],
    ]


async def test_markup_in_any_part_stays_text(page: Chat) -> None:
    page.say("tool_call", id=MARKUP, name=MARKUP, arguments={MARKUP: MARKUP})
    page.say("tool_result", id=MARKUP, output=MARKUP, error=MARKUP)
    page.say("progress", label=MARKUP, done=1, total=2)
    page.say("data", name=MARKUP, value=MARKUP, id="")
    page.say("source", title=MARKUP, url=f"https://sky.example/{MARKUP}")
    page.say("source", title=MARKUP, url=MARKUP)
    page.end()
    await state(page, "finished")
    assert await page.page.locator("article img").count() == 0
    assert MARKUP in await page.part("tool").locator("summary").inner_text()
    assert len(await page.page.locator(".answer > *").all()) == 5


async def test_parts_are_in_the_order_of_their_events_and_thinking_is_first(page: Chat) -> None:
    page.say("thinking", text="Which place? ")
    page.say("answer", text="I look ")
    page.say("thinking", text="Ulm.")
    page.say("answer", text="it up.")
    page.say("tool_call", **CALL)
    page.say("thinking", text="Blue!")
    page.say("answer", text="The sky ")
    page.say("answer", text="is ", step="s")
    page.say("answer", text="blue.")
    page.say("source", title="Sky", url="https://sky.example")
    call = 'weather {"place":"Ulm <b>"} Running'
    await page.shows("I look it up.", call, "The sky is blue.", "Sky sky.example")
    await page.page.get_by_text("Thinking, 4 words").click()
    blocks = page.page.locator(".thinking > .text")
    assert await blocks.all_inner_texts() == ["Which place? Ulm.", "Blue!"]


async def test_copy_takes_the_text_of_the_answer_only(page: Chat) -> None:
    page.say("thinking", text="Hm.")
    page.say("answer", text="I look it up.")
    page.say("tool_call", **CALL)
    page.say("data", name="price", value=3, id="")
    page.say("answer", text="It is <b>blue</b>.\n")
    page.end()
    await page.page.get_by_test_id("copy").click()
    await page.page.get_by_text("Copied").wait_for()
    copied = await page.page.evaluate("navigator.clipboard.readText()")
    assert copied == "I look it up.\n\nIt is <b>blue</b>.\n"


async def test_a_reset_clears_the_answer_and_the_page_says_and_announces_it(page: Chat) -> None:
    page.say("thinking", text="Hm.")
    page.say("answer", text="One two three.")
    page.say("tool_call", **CALL)
    page.say("data", name="price", value=3, id="")
    await page.shows("One two three.", 'weather {"place":"Ulm <b>"} Running', "price 3")
    await page.page.get_by_test_id("announcer").get_by_text("Answer started.").wait_for()
    await page.page.evaluate(HEAR)
    page.say("reset")
    page.say("answer", text="Four.")
    await page.shows("Four.")
    assert await page.page.locator(".thoughts").is_hidden()
    told = page.page.get_by_test_id("restarted")
    assert await told.inner_text() == "The answer has started over."
    await page.until("() => heard.length > 0")
    assert await page.page.evaluate("heard") == ["The answer starts over."]
    page.say("reset")
    await page.shows()
    await told.get_by_text("The answer has started over 2 times.").wait_for()
    page.say("answer", text="Five six.")
    page.end()
    await state(page, "finished")
    await page.page.get_by_text("The answer has 2 words.").wait_for(state="attached")
    assert (await journal(page)).count("The answer starts over") == 2


async def test_a_reset_of_a_step_drops_the_parts_of_that_step_only(page: Chat) -> None:
    page.say("answer", text="One ")
    page.say("step", name="look", step="a")
    page.say("answer", text="two ", step="a")
    page.say("thinking", text="hm", step="a")
    page.say("tool_call", **CALL, step="a")
    page.say("data", name="price", value=3, id="", step="ab")
    page.say("tool_call", **{**CALL, "id": "2"})
    page.say("tool_result", id="2", output=1, error=None, step="a")
    call = 'weather {"place":"Ulm <b>"}'
    await page.shows("One two", f"{call} Running", "price 3", f"{call} Done")
    page.say("reset", step="a")
    await page.shows("One", "price 3", f"{call} Running")
    assert await page.page.locator(".thoughts").is_hidden()
    assert await page.page.get_by_test_id("restarted").is_hidden()
    page.say("answer", text="three", step="a")
    await page.shows("One", "price 3", f"{call} Running", "three")
    page.say("step_end", failed=True, step="a")
    page.end()
    await state(page, "finished")
    assert (await journal(page))[-3:-1] == ["The step “look” starts over", "The step “look” failed"]


async def test_a_reload_shows_the_same_and_announces_nothing_that_is_old(page: Chat) -> None:
    page.say("answer", text="One.")
    page.say("reset")
    page.say("tool_call", **CALL)
    page.say("answer", text="Two.")
    page.say("progress", label="pages", done=1, total=3)
    page.say("progress", label="pages", done=2, total=3)
    shown = ('weather {"place":"Ulm <b>"} Running', "Two.", "pages 2 of 3")
    await page.shows(*shown)
    await page.open()
    await page.page.evaluate(HEAR)
    await page.shows(*shown)
    assert await page.page.get_by_test_id("restarted").is_visible()
    page.end()
    await page.until("() => heard.length > 0")
    assert await page.page.evaluate("heard") == ["Finished. The answer has 1 word."]


async def test_the_next_turn_starts_empty_below_the_one_before(page: Chat) -> None:
    page.say("thinking", text="Hm.")
    page.say("reset")
    page.say("data", name="price", value=3, id="")
    await page.shows("price 3")
    page.end()
    await state(page, "finished")
    await page.page.get_by_test_id("prompt").fill("more")
    page.server.script("/streams", silence)
    await page.page.keyboard.press("Enter")
    await page.shows()
    told = page.page.get_by_test_id("restarted")
    assert [await told.nth(at).is_visible() for at in range(2)] == [True, False]
    assert await page.page.get_by_test_id("data").count() == 1


async def test_the_cursor_is_behind_the_text_or_below_the_last_part(page: Chat) -> None:
    cursor = """() => [...document.querySelectorAll(".answer, .answer *")]
      .filter((each) => each.closest(".tool, .progress, .data, .source") === null)
      .filter((each) => getComputedStyle(each, "::after").content !== "none")
      .map((each) => each.className.replace("cursor", "").trim() || each.localName)"""
    assert await page.page.evaluate(cursor) == ["answer"]
    for text, place in (("One.", "p"), ("\n\n1. Two", "p"), ("\n\n```js\n3", "text")):
        page.say("answer", text=text)
        await page.page.locator(".answer").get_by_text(text[-1]).last.wait_for()
        assert await page.page.evaluate(cursor) == [place]
    page.say("tool_call", **CALL)
    await page.part("tool").wait_for()
    assert await page.page.evaluate(cursor) == ["answer"]
    page.end()
    await state(page, "finished")
    assert await page.page.evaluate(cursor) == []


async def test_the_sections_of_a_long_answer_move_nothing(page: Chat) -> None:
    """Each block stays where it would be without them, at the top of a section as well."""
    blocks = ["## A heading\n\n", "A paragraph.\n\n", "- One thing\n- Another\n\n", "> Quoted\n\n"]
    for _ in range(60):
        page.say("answer", text="".join(blocks))
    await page.page.locator(".section").nth(3).wait_for(state="attached")
    page.end()
    await state(page, "finished")
    places = """element => {
      const tops = () => [...element.querySelectorAll("h2, .text p, li")]
        .map((each) => Math.round(each.getBoundingClientRect().top + scrollY));
      const divided = tops();
      const sections = [...element.querySelectorAll(".section")];
      const settled = sections.filter((each) => each.matches(".settled")).length;
      for (const section of sections) section.replaceWith(...section.childNodes);
      return { divided, whole: tops(), sections: sections.length, settled };
    }"""
    answer = page.page.locator(".turn:last-child .answer")
    await answer.locator("li").nth(119).wait_for(state="attached")
    seen = await answer.evaluate(places)
    assert (seen["sections"], seen["settled"]) == (4, 4)
    assert len(seen["divided"]) == 60 * 7
    assert seen["divided"] == seen["whole"]
