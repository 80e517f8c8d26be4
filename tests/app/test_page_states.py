"""The states of a turn and of a conversation on the page, in Chromium."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser

from tests.app.chat_page import DEADLINE, EVENTS, KINDS, Chat, chat
from tests.app.scripted_server import Answer, answer, cut, frame, silence, sse
from tests.chromium import chromium

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

HOUR = 3600


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
        yield page


async def shows(page: Chat, state: str, words: str, hint: str = "") -> None:
    """Return when the last turn is in this state, which it tells in these words."""
    line = page.page.locator(f"[data-testid=state][data-state={state}]")
    await line.wait_for()
    assert await line.inner_text() == words
    await page.page.get_by_test_id("hint").get_by_text(hint).wait_for(state="attached")


def created(id_: str = "s") -> Answer:
    return answer(201, {"id": id_, "token": None}, kinds=KINDS)


def refusal(status: int, code: str, message: str, **more: Any) -> Answer:
    return answer(status, {"error": {"code": code, "message": message}}, **more)


async def send(page: Chat, prompt: str, *answers: Answer) -> None:
    page.server.script("/streams", *answers)
    await page.page.get_by_test_id("prompt").fill(prompt)
    await page.page.keyboard.press("Enter")


async def ended(page: Chat, prompt: str = "first?") -> None:
    """A first turn that is over."""
    done = frame(1, "done", {"finish_reason": "stop", "usage": {"output_tokens": 2}})
    page.server.script(EVENTS, sse(frame(0, "answer", {"text": "one"}), done))
    await send(page, prompt, created())
    await shows(page, "finished", "Finished")


def bodies(page: Chat) -> list[Any]:
    return [json.loads(each.body) for each in page.server.asked("/streams")]


async def test_a_prompt_connects_and_then_its_answer_is_live(page: Chat) -> None:
    await send(page, "hi", silence)
    await shows(page, "connecting", "Connecting")
    await page.open()
    page.say("answer", text="one")
    await shows(page, "live", "Live")


async def test_a_model_that_is_silent_is_timed_and_a_server_that_is_silent_is_stalled(
    page: Chat,
) -> None:
    page.server.script(EVENTS, sse(frame(0, "answer", {"text": "one"}), hang=True))
    await send(page, "hi", created())
    await shows(page, "stalled", "Interrupted", "no word from the server")


async def test_a_connection_that_breaks_is_opened_again(page: Chat) -> None:
    page.server.script(EVENTS, sse(frame(0, "answer", {"text": "one"})), silence)
    await send(page, "hi", created())
    await shows(page, "reconnecting", "Reconnecting", "nothing is lost")


async def test_a_take_over_is_seen_in_the_turn(page: Chat) -> None:
    await page.open()
    page.say("claim", attempt=1, continued="started")
    page.say("answer", text="one ")
    await page.shows("one")
    page.say("claim", attempt=2, continued="prefill")
    await shows(page, "taken-over", "Taken over", "the answer continues")
    notice = page.part("taken-over")
    assert await notice.inner_text() == "A new attempt continues the answer."
    page.say("answer", text="two")
    page.end()
    await shows(page, "finished", "Finished")
    await page.shows("one two")
    assert await notice.is_visible()


async def test_an_answer_that_is_stopped_stays_with_what_it_said(page: Chat) -> None:
    await page.open()
    page.say("answer", text="one")
    page.say("cancelled")
    await shows(page, "cancelled", "Stopped")
    await page.shows("one")
    assert await page.part("summary").inner_text() == "Stopped"
    assert await page.part("copy").is_visible()


async def test_a_failure_that_may_pass_can_be_tried_again(page: Chat) -> None:
    page.server.script(
        EVENTS,
        sse(frame(0, "error", {"code": "x", "message": "It broke.", "retryable": True})),
    )
    await send(page, "hi", created())
    await shows(page, "failed", "Failed")
    assert "It broke." in await page.part("error").inner_text()
    page.server.script("/streams", silence)
    await page.part("again").click()
    await shows(page, "connecting", "Connecting")
    assert bodies(page) == [{"prompt": "hi"}, {"prompt": "hi"}]
    assert await page.part("turn").count() == 1


async def test_out_of_budget_the_page_says_when_to_come_back(page: Chat) -> None:
    refused = refusal(429, "budget_exhausted", "The budget is used up.", retry_after=HOUR)
    page.faults_expected = 1
    await send(page, "hi", refused)
    await shows(page, "failed", "Failed")
    message = await page.part("error").inner_text()
    assert "The budget is used up. Possible again at " in message
    assert await page.part("prompt").input_value() == "hi"


async def test_a_turn_that_comes_too_early_can_be_sent_again(page: Chat) -> None:
    await ended(page)
    page.faults_expected = 1
    await send(page, "and?", refusal(409, "still_streaming", "s is still under way."))
    await shows(page, "failed", "Failed")
    assert "still being written" in await page.part("error").last.inner_text()
    page.server.script("/streams", silence)
    await page.part("again").click()
    await shows(page, "connecting", "Connecting")
    keys = {each.headers["idempotency-key"] for each in page.server.asked("/streams")[1:]}
    assert len(keys) == 1, "it is the same request"
    assert bodies(page)[1:] == [{"prompt": "and?", "previous": "s"}] * 2


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (413, "conversation_too_long", "has become too long"),
        (404, "stream_not_found", "it has expired, or it belongs to somebody else"),
    ],
)
async def test_a_conversation_that_cannot_go_on_can_begin_anew(
    page: Chat, status: int, code: str, words: str
) -> None:
    await ended(page)
    page.faults_expected = 1
    await send(page, "and?", refusal(status, code, "No."))
    await shows(page, "failed", "Failed")
    assert words in await page.part("error").last.inner_text()
    page.server.script("/streams", silence)
    await page.page.get_by_role("button", name="Send as a new conversation").click()
    await shows(page, "connecting", "Connecting")
    assert bodies(page)[2] == {"prompt": "and?"}
    assert await page.part("question").all_inner_texts() == ["and?"]


async def test_an_expired_conversation_offers_its_prompts_and_to_be_removed(page: Chat) -> None:
    await ended(page)
    gone = refusal(404, "stream_not_found", "There is no such stream.")
    page.faults_expected = 1
    page.server.script("/streams/s", gone)
    await page.page.reload()
    await shows(page, "lost", "Not available")
    assert "has expired on the server" in await page.part("error").inner_text()
    assert await page.part("question").all_inner_texts() == ["first?"]
    item = page.page.locator("#conversations li")
    assert "expired" in await item.inner_text()
    assert await item.get_by_label("Remove “first?”").is_visible()
    page.server.script("/streams", silence)
    await page.page.get_by_role("button", name="Send again").click()
    await shows(page, "connecting", "Connecting")
    assert bodies(page)[1:] == [{"prompt": "first?"}]


async def test_removing_an_expired_conversation_leads_to_a_new_one(page: Chat) -> None:
    await ended(page)
    page.faults_expected = 1
    page.server.script("/streams/s", refusal(404, "stream_not_found", "There is no such stream."))
    await page.page.reload()
    await page.page.get_by_role("button", name="Remove from the list").click()
    await page.page.get_by_role("heading", name="Answers that outlive the connection").wait_for()
    assert await page.page.locator("#conversations li").count() == 0
    forgotten = await page.part("forgotten").inner_text()
    assert forgotten.startswith("Forgotten in this browser: “first?”.")
    assert "address" not in forgotten, "it leads nowhere"


async def test_a_reload_during_the_request_repeats_it(page: Chat) -> None:
    await ended(page)
    await send(page, "and?", silence)
    await shows(page, "connecting", "Connecting")
    messages = [{"role": "user", "content": "first?"}]
    before = {"id": "s", "answer": "one", "messages": messages, "follows": []}
    page.server.script("/streams/s", *[answer(200, before)] * 2)  # one may be for its other parts
    page.server.script("/streams", silence)
    await page.page.reload()
    await page.part("question").nth(1).wait_for()
    assert await page.part("question").all_inner_texts() == ["first?", "and?"]
    await page.page.locator(".answer").first.get_by_text("one").wait_for()
    async with asyncio.timeout(DEADLINE):
        while len(page.server.asked("/streams")) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    first, second = page.server.asked("/streams")[1:]
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


async def test_a_prompt_that_reaches_no_server_is_given_back(page: Chat) -> None:
    page.faults_expected = 5
    await send(page, "hi", *[cut] * 5)
    await shows(page, "failed", "Failed")
    assert "did not answer" in await page.part("error").inner_text()
    assert await page.part("prompt").input_value() == "hi"
