"""The chat page in Chromium: the actions of the flows, and their conditions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import BrowserContext, ConsoleMessage, Page

from tests.chromium import chromium
from tests.flows.conftest import Conversation, Function, Gate

DEADLINE = 20
# One sandbox for all requests of the page, because each start of a sandbox takes time.
WARM = {"sandboxes": 1, "concurrency": 16}


@dataclass
class Profile:
    """The browser of one person: its tabs share their storage."""

    context: BrowserContext
    violations: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    async def open(self, function: Function, address: str = "/") -> Page:
        page = await self.context.new_page()
        await page.goto(str(function.http.base_url.join(address)))
        return page

    def heard(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text or "Trusted" in message.text:
            self.violations.append(message.text)


@asynccontextmanager
async def profile() -> AsyncIterator[Profile]:
    """A new profile. An uncaught error or a violation of the page's policy fails the test."""
    async with chromium() as browser:
        profile = Profile(await browser.new_context(locale="en-GB", timezone_id="UTC"))
        profile.context.set_default_timeout(DEADLINE * 1000)
        profile.context.on("console", profile.heard)
        profile.context.on("weberror", lambda error: profile.errors.append(str(error.error)))
        yield profile
    assert profile.violations == []
    assert profile.errors == []


async def asked(page: Page, gate: Gate, prompt: str = "hi") -> Conversation:
    """The model's side of a prompt that was typed into the page."""
    await page.get_by_test_id("prompt").fill(prompt)
    await page.keyboard.press("Enter")
    return await gate.next()


async def shows(page: Page, state: str) -> None:
    await page.locator(f"[data-testid=state][data-state={state}]").wait_for()


async def reads(page: Page, text: str, turn: int = -1) -> None:
    """Return when a turn shows exactly this text, with or without other parts in between.

    The text is Markdown without marks: white space at its ends and runs of it do not show.
    """
    shown = """([text, turn]) => {
      const answer = [...document.querySelectorAll("[data-testid=answer]")].at(turn);
      const blocks = [...(answer?.children ?? [])].filter((each) => each.matches(".text"));
      const paragraphs = (block) => [...block.children].map((each) => each.textContent).join(" ");
      const said = blocks.map(paragraphs).join("");
      return said.split(/\\s+/).join(" ").trim() === text.split(/\\s+/).join(" ").trim();
    }"""
    await until(page, shown, [text, turn])


async def copied(page: Page) -> str:
    """The source of the last answer, to the character."""
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.get_by_test_id("copy").last.click()
    await page.get_by_text("Copied").wait_for()
    source: str = await page.evaluate("navigator.clipboard.readText()")
    return source


def stream_of(page: Page) -> str:
    """The id of the last stream of the conversation."""
    return page.url.partition("?stream=")[2].partition("#")[0]


async def prompts(page: Page) -> list[str]:
    """The prompts of the turns that are shown."""
    return await page.get_by_test_id("question").all_inner_texts()


async def until(page: Page, condition: str, given: Any = None) -> None:
    """Return when a function returns true in the page.

    The page's policy forbids the string that Playwright's `wait_for_function` would evaluate.
    """
    looks = f"""given => new Promise((resolve) => {{
      const look = () => (({condition})(given) ? resolve() : setTimeout(look, 10));
      look();
    }})"""
    async with asyncio.timeout(DEADLINE):
        await page.evaluate(looks, given)


def events_path(page: Page) -> str:
    return f"/streams/{stream_of(page)}/events"


async def show(page: Page, *, shown: bool) -> None:
    """Show or hide a tab. A headless browser shows all its tabs."""
    await page.evaluate(
        """hidden => {
          Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        not shown,
    )


async def journal(page: Page) -> list[str]:
    """The lines of the journal, without their times."""
    lines = page.get_by_test_id("journal").locator("li")
    said: list[str] = await lines.evaluate_all("lines => lines.map((li) => li.lastChild.data)")
    return said


async def drop_reader(function: Function, path: str) -> None:
    (request_id,) = [
        each["request_id"]
        for sandbox in await function.sandboxes()
        for each in sandbox["invocations"]
        if each["path"] == path and each["client_connected"]
    ]
    answer = await function.http.post(f"/_local/invocations/{request_id}/drop")
    assert answer.is_success, answer.text
