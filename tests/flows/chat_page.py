"""The chat page in Chromium: what the flows do to it, and what they wait for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from playwright.async_api import BrowserContext, ConsoleMessage, Page

from tests.chromium import chromium
from tests.flows.conftest import Conversation, Function, Gate

DEADLINE = 20
# One sandbox for the whole page, because starting one for each of its requests takes its time.
WARM = {"sandboxes": 1, "concurrency": 16}


@dataclass
class Profile:
    """A person's browser: its tabs share what it remembers."""

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
    """A new profile. The page must catch its errors, and keep to its Content-Security-Policy."""
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


async def reads(page: Page, text: str) -> None:
    """Return when the answer on the page is exactly this."""
    answer = "document.querySelector('[data-testid=answer]').textContent"
    await until(page, f"text => {answer} === text", text)


async def until(page: Page, condition: str, given: str | None = None) -> None:
    """Return when a function is true in the page.

    Playwright's `wait_for_function` evaluates a string, which the page's policy forbids.
    """
    looks = f"""given => new Promise((resolve) => {{
      const look = () => (({condition})(given) ? resolve() : setTimeout(look, 10));
      look();
    }})"""
    async with asyncio.timeout(DEADLINE):
        await page.evaluate(looks, given)


def events_path(page: Page) -> str:
    return f"/streams/{page.url.partition('?stream=')[2]}/events"


async def show(page: Page, *, shown: bool) -> None:
    """Let a tab be shown or hidden; a browser without windows shows all of them."""
    await page.evaluate(
        """hidden => {
          Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        not shown,
    )


async def journal(page: Page) -> list[str]:
    """What happened, line by line, without the times."""
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
