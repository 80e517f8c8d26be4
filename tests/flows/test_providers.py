"""The application as it is shipped, with a model behind HTTP, when either of them breaks."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.event_source import Event
from tests.flows.chat import TEXT, Chat, chat
from tests.flows.chat_page import Profile, copied, events_path, profile, shows
from tests.flows.conftest import Function, Start
from tests.flows.heard import assert_each_once, text
from tests.flows.reader import Reader

pytestmark = [pytest.mark.anyio, pytest.mark.provider("openai")]

KEY = "sk-that-nobody-may-see"
PROMPT = "a-prompt-that-nobody-may-see"
# Behind a space and between two line breaks: where a prefill may not end as the text does.
BEHIND_WHITE_SPACE = TEXT.index("\n\n", 60) + 1

Serve = Callable[..., Any]


@pytest.fixture
async def model() -> AsyncIterator[Chat]:
    async with chat() as model:
        yield model


@pytest.fixture
async def browser() -> AsyncIterator[Profile]:
    async with profile() as browser:
        yield browser


@pytest.fixture
def serve(start: Start, model: Chat) -> Serve:
    """A way to run the application as it is shipped, asking the model."""

    @asynccontextmanager
    async def serving(
        *, prefill: bool = True, env: Mapping[str, str] | None = None, **options: Any
    ) -> AsyncIterator[Function]:
        env = {
            **(env or {}),
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": KEY,
            "OPENAI_PREFILL": str(prefill).lower(),
            "MODELS": "by-heart",
            # Here the application decides, too; the emulator would tell it its own decision.
            "PROVIDER": "auto",
            "AWS_LAMBDA_LOG_LEVEL": "DEBUG",
        }
        chosen = {"provider": "auto", "handler": "app.main.handler", "sandboxes": 3, **options}
        async with start(env, **chosen) as function:
            yield function

    return serving


def claims(events: list[Event]) -> list[tuple[int, str]]:
    return [
        (event.data["attempt"], event.data["continued"])
        for event in events
        if event.name == "claim"
    ]


def assert_nothing_leaks(function: Function, events: list[Event]) -> None:
    """Neither key nor prompt nor answer is in the log, or in the members of events besides text."""
    assert any("[DEBUG]" in line for line in function.lines), "the log is at its most talkative"
    said = "\n".join([*function.lines, *(str(event.data) for event in events)])
    for secret in (KEY, PROMPT, "naïve", r"na\u00efve", r"na\xc3\xafve"):
        assert secret not in said


@pytest.mark.parametrize(("prefill", "continued"), [(True, "prefill"), (False, "asked")])
@pytest.mark.parametrize("position", [61, BEHIND_WHITE_SPACE])
async def test_a_killed_sandboxs_answer_is_continued_by_another_to_the_byte(
    serve: Serve, model: Chat, *, prefill: bool, continued: str, position: int
) -> None:
    async with serve(prefill=prefill) as function:
        reader = Reader(function, f"/sse?prompt={PROMPT}")
        first = await model.next()
        await first.say_up_to(position)
        await reader.has_read(TEXT[:position])
        (writer,) = await function.serving("/sse")
        await function.do("kill", writer)
        second = await model.next()
        await second.finish()
        events = await reader.end()

    assert_each_once(events)
    assert text(events) == TEXT
    assert events[-1].data["finish_reason"] == "stop"
    assert claims(events) == [(2, continued)]
    assert model.waiting == 0


@pytest.mark.chromium
async def test_the_page_shows_the_whole_text_though_its_sandbox_is_killed(
    serve: Serve, model: Chat, browser: Profile
) -> None:
    # A browser fetches the three files of the page at once, each in a sandbox.
    async with serve(sandboxes=4) as function:
        page = await browser.open(function)
        await page.get_by_test_id("prompt").fill("Count!")
        await page.keyboard.press("Enter")
        first = await model.next()
        assert first.body["messages"] == [{"role": "user", "content": "Count!"}]
        await first.say_up_to(BEHIND_WHITE_SPACE)
        last = TEXT[:BEHIND_WHITE_SPACE].count("🚀") - 1
        await page.locator(".answer li").nth(last).get_by_text("naïve — 三 🚀").wait_for()
        (writer,) = await function.serving(events_path(page))
        await function.do("kill", writer)
        second = await model.next()
        await shows(page, "taken-over")
        await second.finish()
        await shows(page, "finished")
        assert await copied(page) == TEXT
        journal = page.get_by_test_id("journal")
        told = "Another sandbox took over (attempt 2, at the last character)"
        assert await journal.get_by_text(told).count() == 1


async def test_a_model_that_breaks_off_is_asked_to_go_on_by_the_same_sandbox(
    serve: Serve, model: Chat
) -> None:
    async with serve() as function:
        reader = Reader(function, f"/sse?prompt={PROMPT}")
        for position in (100, 200):
            conversation = await model.next()
            await conversation.say_up_to(position)
            await reader.has_read(TEXT[:position])
            conversation.cut()
        await (await model.next()).finish()
        events = await reader.end()
        sandboxes = await function.sandboxes()

    assert_each_once(events)
    assert text(events) == TEXT
    assert claims(events) == [(2, "prefill"), (3, "prefill")]
    assert len(sandboxes) <= 2, "the second answers the last reconnection with 204"


async def test_a_sandbox_killed_before_the_first_word_is_replaced_by_one_that_starts_anew(
    serve: Serve, model: Chat
) -> None:
    async with serve() as function:
        reader = Reader(function, f"/sse?prompt={PROMPT}")
        await model.next()
        await reader.until(bool)
        (writer,) = await function.serving("/sse")
        await function.do("kill", writer)
        await (await model.next()).finish()
        events = await reader.end()

    assert text(events) == TEXT
    assert claims(events) == [(2, "restarted")]


async def test_while_the_model_throttles_the_reader_sees_heartbeats_and_then_the_answer(
    serve: Serve, model: Chat
) -> None:
    async with serve() as function:
        reader = Reader(function, f"/sse?prompt={PROMPT}")
        refused = 0
        while "heartbeat" not in {event.name for event in reader.source.events}:
            (await model.next()).refuse(429, "slow down")
            refused += 1
        await (await model.next()).finish()
        events = await reader.end()

    assert refused > 1
    assert_each_once(events)
    assert text(events) == TEXT
    assert claims(events) == [], "nothing had been said, so nothing was taken up again"


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "provider_denied"), (404, "unknown_model"), (400, "provider_rejected")],
)
async def test_what_the_operator_must_mend_is_an_error_at_once_and_leaks_nothing(
    serve: Serve, model: Chat, status: int, code: str
) -> None:
    """Not even at debug level, and though the service repeats both key and prompt."""
    async with serve() as function:
        reader = Reader(function, f"/sse?prompt={PROMPT}")
        conversation = await model.next()
        assert conversation.headers["authorization"] == f"Bearer {KEY}"
        conversation.refuse(status, f"Incorrect key {KEY} for {PROMPT}")
        events = await reader.end()

    error = events[-1]
    assert (error.name, error.data["code"]) == ("error", code)
    assert error.data["retryable"] is False
    assert_nothing_leaks(function, events)


async def test_cancelling_ends_the_connection_to_the_model_at_the_next_sign_of_life(
    serve: Serve, model: Chat
) -> None:
    """Another sandbox cancels; the writer hears of it when it appends, once a second at least."""
    async with serve() as function:
        created = await function.create(PROMPT)
        reader = Reader(function, created["events_url"])
        conversation = await model.next()
        await conversation.say_up_to(50)
        await reader.has_read(TEXT[:50])
        answer = await function.http.post(created["cancel_url"])
        await conversation.hung_up(within=2)
        events = await reader.end()

    assert answer.json()["status"] == "cancelled"
    assert events[-1].name == "cancelled"
    assert text(events) == TEXT[:50]


@pytest.mark.parametrize("position", [0, 61, BEHIND_WHITE_SPACE])
async def test_a_sandbox_killed_behind_a_tools_result_is_replaced_by_one_that_runs_no_tool_again(
    serve: Serve, model: Chat, tmp_path: Path, position: int
) -> None:
    notes = tmp_path / "notes"
    async with serve(agent="tests.flows.noting", env={"NOTES": str(notes)}) as function:
        reader = Reader(function, f"/sse?prompt={PROMPT}")
        first = await model.next()
        await first.say_up_to(20)
        await first.call("note", word="naïve")
        second = await model.next()
        await second.say_up_to(position)
        await reader.has_read(TEXT[:20] + TEXT[:position])
        (writer,) = await function.serving("/sse")
        await function.do("kill", writer)
        third = await model.next()
        await third.finish()
        events = await reader.end()

    assert_each_once(events)
    assert text(events) == TEXT[:20] + TEXT
    assert notes.read_text() == f"{events[0].id.partition(':')[0]}:note:call_1:1 naïve\n"
    assert [event.name for event in events if "tool" in event.name] == ["tool_call", "tool_result"]
    assert claims(events) == [(2, "replayed")]
    assert first.body["tools"][0]["function"]["name"] == "note"
    sent = len(second.body["messages"])
    assert second.body["messages"][-1]["content"] == "noted naïve"
    assert third.body["messages"][:sent] == second.body["messages"]
    assert model.waiting == 0
    assert not [line for line in function.lines if "naïve" in line or PROMPT in line or KEY in line]


async def test_healthz_names_the_provider_that_auto_came_to(serve: Serve) -> None:
    async with serve() as function:
        health = await function.http.get("/healthz")

    assert health.status_code == httpx.codes.OK
    assert (health.json()["provider"], health.json()["models"]) == ("openai", ["by-heart"])
