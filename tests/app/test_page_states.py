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


async def bodies(page: Chat, count: int) -> list[Any]:
    """The prompts that the server has received, as soon as there are so many."""
    async with asyncio.timeout(DEADLINE):
        while len(page.server.asked("/streams")) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
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
    assert await bodies(page, 2) == [{"prompt": "hi"}, {"prompt": "hi"}]
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
    sent = await bodies(page, 3)
    keys = {each.headers["idempotency-key"] for each in page.server.asked("/streams")[1:]}
    assert len(keys) == 1, "it is the same request"
    assert sent[1:] == [{"prompt": "and?", "previous": "s"}] * 2
    assert await page.part("prompt").input_value() == "", "it would be sent a second time"


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (413, "conversation_too_long", "has become too long"),
        (404, "stream_not_found", "The turn before has expired"),
        (422, "no_conversation", "its agent takes no conversation"),
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
    assert (await bodies(page, 3))[2] == {"prompt": "and?"}
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
    assert (await bodies(page, 2))[1:] == [{"prompt": "first?"}]


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
    await bodies(page, 3)
    first, second = page.server.asked("/streams")[1:]
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


async def test_a_prompt_that_reaches_no_server_is_given_back(page: Chat) -> None:
    page.faults_expected = 5
    await send(page, "hi", *[cut] * 5)
    await shows(page, "failed", "Failed")
    assert "did not answer" in await page.part("error").inner_text()
    assert await page.part("prompt").input_value() == "hi"


async def second(page: Chat) -> None:
    """A second turn that is over, behind a first one."""
    await ended(page)
    done = frame(1, "done", {"finish_reason": "stop", "usage": {"output_tokens": 2}}, "t")
    page.server.script("/streams/t/events", sse(frame(0, "answer", {"text": "two"}, "t"), done))
    await send(page, "and?", created("t"))
    await shows(page, "finished", "Finished")
    await page.page.locator(".answer").last.get_by_text("two").wait_for()


def snapshot(id_: str, *follows: str) -> Answer:
    """A stream that is over, whose prompt is the second one if it follows another."""
    messages = [{"role": "user", "content": "first?"}]
    if follows:
        said = [("assistant", "one"), ("user", "and?")]
        messages += [{"role": role, "content": content} for role, content in said]
    told: dict[str, Any] = {
        "id": id_,
        "status": "done",
        "token": "its own",
        "answer": "one",
        "parts": [],
    }
    end = {"last_event_id": f"{id_}:1", "finish_reason": "stop", "usage": None}
    return answer(200, {**told, **end, "messages": messages, "follows": follows}, kinds=KINDS)


def held(send: Answer) -> tuple[Answer, asyncio.Event]:
    """An answer that comes only after the event."""
    event = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await event.wait()
        await send(reader, writer)

    return wait, event


async def test_a_version_that_was_refused_leaves_the_turns_before_it_to_go_on_from(
    page: Chat,
) -> None:
    """The next prompt does not follow a turn that the page does not show any more."""
    await second(page)
    page.faults_expected = 1
    page.server.script("/streams", refusal(422, "invalid", "No."))
    await page.part("regenerate").last.click()
    await shows(page, "failed", "Failed")
    await send(page, "other?", silence)
    await shows(page, "connecting", "Connecting")
    assert (await bodies(page, 4))[-1] == {"prompt": "other?", "previous": "s"}
    assert await page.part("question").all_inner_texts() == ["first?", "other?"]


async def test_the_token_of_a_link_is_in_the_address_of_its_stream_only(page: Chat) -> None:
    page.server.script("/streams/t", snapshot("t", "s"))
    page.server.script("/streams/s", snapshot("s"))  # for its other parts
    done = frame(1, "done", {"finish_reason": "stop", "usage": {"output_tokens": 2}}, "t")
    page.server.script("/streams/t/events", sse(frame(0, "answer", {"text": "two"}, "t"), done))
    await page.page.goto(f"{page.page.url}?stream=t#secret")
    await shows(page, "finished", "Finished")
    page.server.script("/streams", silence)
    await page.part("regenerate").last.click()
    await shows(page, "connecting", "Connecting")
    assert page.page.url.endswith("?stream=s")


async def test_a_fragment_that_is_no_token_is_refused_like_a_wrong_one(page: Chat) -> None:
    page.server.script("/streams/s", refusal(401, "unauthorized", "No."))
    page.faults_expected = 1
    await page.page.goto(f"{page.page.url}?stream=s#%")
    await shows(page, "locked", "Access needed")


async def test_a_wrong_token_of_a_link_does_not_cost_the_access_token(page: Chat) -> None:
    """The page opens the address by the access token instead."""
    await page.page.evaluate("localStorage.setItem('access-token ', 'mine')")
    page.faults_expected = 1
    page.server.script("/streams/s", refusal(401, "unauthorized", "No."), snapshot("s"))
    done = frame(1, "done", {"finish_reason": "stop", "usage": {"output_tokens": 2}})
    page.server.script(EVENTS, sse(frame(0, "answer", {"text": "one"}), done))
    await page.page.goto(f"{page.page.url}?stream=s#wrong")
    await shows(page, "finished", "Finished")
    assert await page.page.evaluate("localStorage.getItem('access-token ')") == "mine"
    assert page.server.asked("/streams/s")[1].headers["authorization"] == "Bearer mine"
    assert page.page.url.endswith("?stream=s")


async def test_a_stop_that_works_at_last_takes_its_error_back(page: Chat) -> None:
    await page.open()
    page.server.script(EVENTS, *[page._stream] * 2)  # It is read again after each attempt.
    page.say("answer", text="one")
    await shows(page, "live", "Live")
    page.faults_expected = 1
    page.server.script("/streams/s/cancel", refusal(422, "x", "No."), answer(200, {}))
    await page.page.get_by_role("button", name="Stop", exact=True).click()
    await page.part("error").get_by_text("Not stopped.").wait_for()
    await page.part("again").click()
    page.say("cancelled")
    await shows(page, "cancelled", "Stopped")
    assert await page.part("error").is_hidden()


async def test_an_edit_that_is_not_sent_yet_is_kept(page: Chat) -> None:
    """One answer is written at a time."""
    await ended(page)
    await send(page, "and?", silence)
    await shows(page, "connecting", "Connecting")
    await page.part("edit").first.click()
    await page.page.keyboard.type(" really")
    await page.page.keyboard.press("Enter")
    await shows(page, "connecting", "Connecting", "one answer at a time")
    field = page.page.get_by_label("Edit the prompt").first
    assert await field.is_visible()
    assert await field.input_value() == "first? really"


async def test_a_conversation_deleted_during_a_request_stays_deleted(page: Chat) -> None:
    await ended(page)
    late, event = held(created("t"))
    await send(page, "and?", late)
    await shows(page, "connecting", "Connecting")
    async with page.page.expect_response("**/streams"):
        await page.page.get_by_label("Delete “first?”").click()
        assert page.page.url.endswith("/")
        event.set()
    await page.page.evaluate("new Promise((done) => setTimeout(done, 50))")
    assert await page.page.locator("#conversations li").count() == 0
    await page.part("undo").click()
    assert "stream=t" in str(await page.page.locator("#conversations a").get_attribute("href"))


async def test_the_form_for_the_token_stays_when_an_earlier_request_is_answered(
    page: Chat,
) -> None:
    await ended(page)
    late, event = held(created("t"))
    await send(page, "and?", late)
    await shows(page, "connecting", "Connecting")
    page.faults_expected = 1
    page.server.script("/streams/s", refusal(401, "unauthorized", "No."))
    await page.page.go_back()
    await page.part("access").wait_for()
    async with page.page.expect_response("**/streams"):
        event.set()
    await page.page.locator("#conversations a[href*='stream=t']").wait_for()
    assert await page.part("access").is_visible()


async def test_a_prompt_that_is_repeated_after_a_reload_is_the_one_on_its_way(
    page: Chat,
) -> None:
    """It is shown at once, and no other is sent beside it."""
    await ended(page)
    await send(page, "and?", silence)
    await shows(page, "connecting", "Connecting")
    page.server.script("/streams/s", silence)
    await page.page.reload()
    await page.part("question").nth(1).wait_for()
    assert await page.part("question").all_inner_texts() == ["first?", "and?"]
    await page.part("prompt").fill("other?")
    await page.page.keyboard.press("Enter")
    await shows(page, "connecting", "Connecting", "one answer at a time")
    assert await page.part("prompt").input_value() == "other?"


async def test_the_list_leads_to_the_turn_that_another_tab_has_added(page: Chat) -> None:
    await ended(page)
    other = await page.page.context.new_page()
    await other.goto(page.page.url.partition("?")[0])
    await other.locator("#conversations a[href*='stream=s']").wait_for()
    await send(page, "and?", created("t"))
    page.server.script("/streams/t/events", silence)
    await other.locator("#conversations a[href*='stream=t']").wait_for()
    await other.close()


async def test_an_answer_that_ends_before_it_is_stopped_takes_the_error_back(page: Chat) -> None:
    await page.open()
    page.server.script(EVENTS, page._stream)
    page.say("answer", text="one")
    await shows(page, "live", "Live")
    page.faults_expected = 1
    page.server.script("/streams/s/cancel", refusal(422, "x", "No."))
    await page.page.get_by_role("button", name="Stop", exact=True).click()
    await page.part("error").get_by_text("Not stopped.").wait_for()
    page.end()
    await shows(page, "finished", "Finished")
    assert await page.part("error").is_hidden()
