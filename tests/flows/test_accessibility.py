"""The views of the chat page, which axe-core checks in Chromium.

A view is a function that takes a `Stage` and returns a page that shows it. To add a view, write
the function and add it to VIEWS.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.axe import findings, findings_in_both_schemes
from tests.flows.chat_page import WARM, Profile, asked, profile, reads, shows
from tests.flows.conftest import Gate, Start

pytestmark = [pytest.mark.anyio, pytest.mark.chromium, pytest.mark.axe]

WIDTHS = (1280, 320)
CLOSED = {"API_TOKENS": json.dumps({"person": "the-token-of-a-person-who-is-known-here"})}


@dataclass
class Stage:
    """The browser, and functions whose model is the test."""

    browser: Profile
    model: Gate
    _start: Start
    _env: Mapping[str, str]
    _running: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def open(
        self,
        address: str = "/",
        *,
        handler: str = "function.handler",
        env: Mapping[str, str] | None = None,
        one_sandbox: bool = True,
    ) -> Page:
        """A page of a new function."""
        options = {"handler": handler, **(WARM if one_sandbox else {})}
        starting = self._start({**self._env, **(env or {})}, **options)
        return await self.browser.open(await self._running.enter_async_context(starting), address)

    async def end(self) -> None:
        await self._running.aclose()


@pytest.fixture
async def stage(start: Start, gate: tuple[Gate, dict[str, str]]) -> AsyncIterator[Stage]:
    model, env = gate
    async with profile() as browser:
        stage = Stage(browser, model, start, env)
        yield stage
        await stage.end()


# The views


async def welcome(stage: Stage) -> Page:
    page = await stage.open()
    await page.get_by_role("heading").first.wait_for()
    return page


async def running(stage: Stage) -> Page:
    page = await stage.open()
    conversation = await asked(page, stage.model, "What now?")
    await conversation.say("one ")
    await reads(page, "one ")
    return page


async def every_part_running(stage: Stage) -> Page:
    """Thinking, text, tools in all their states, progress, data and sources."""
    page = await stage.open(handler="every_part.handler")
    await asked(page, stage.model, "What now?")
    await expect(page.get_by_test_id("source")).to_have_count(2)
    await unfold(page)
    return page


async def every_part_finished(stage: Stage) -> Page:
    page = await stage.open(handler="every_part.handler")
    await (await asked(page, stage.model, "What now?")).finish()
    await shows(page, "finished")
    await unfold(page)
    return page


async def taken_over(stage: Stage) -> Page:
    """With the strip of the sandboxes: one has been killed, one is frozen, one writes."""
    page = await stage.open(env={"LEASE": "1"}, one_sandbox=False)
    conversation = await asked(page, stage.model, "What now?")
    for button in ("freeze", "kill"):
        await conversation.say("one ")
        await page.locator("[data-testid=writer][data-state=busy]").wait_for()
        await page.get_by_test_id(button).click()
        conversation = await stage.model.next()
    await conversation.say("one ")
    await shows(page, "taken-over")
    await page.locator("[data-testid=writer][data-state=busy]").wait_for()
    await expect(page.get_by_test_id("thaw").filter(visible=True)).to_have_count(1)
    await unfold(page)
    return page


async def versions(stage: Stage) -> Page:
    """A turn whose answer was generated twice, and the list with its conversation."""
    page = await stage.open()
    await (await asked(page, stage.model, "What now?")).finish()
    await shows(page, "finished")
    await page.get_by_test_id("regenerate").click()
    await (await stage.model.next()).finish()
    await expect(page.get_by_test_id("branches")).to_contain_text("2 of 2")
    await shows(page, "finished")
    return page


async def editing(stage: Stage) -> Page:
    page = await stage.open()
    await (await asked(page, stage.model, "What now?")).finish()
    await shows(page, "finished")
    await page.get_by_test_id("edit").click()
    await page.get_by_test_id("editor").wait_for()
    return page


async def options(stage: Stage) -> Page:
    page = await stage.open()
    await page.get_by_test_id("options").click()
    await page.get_by_test_id("system").wait_for()
    return page


async def menu(stage: Stage) -> Page:
    """The list of conversations, which a narrow page opens over itself."""
    page = await stage.open()
    await page.set_viewport_size({"width": 320, "height": 800})
    await page.get_by_test_id("menu").click()
    await page.get_by_test_id("new").wait_for()
    return page


async def refused(stage: Stage) -> Page:
    page = await stage.open()
    await page.get_by_test_id("prompt").fill("x" * 100_001)
    await page.get_by_test_id("send").click()
    await shows(page, "failed")
    await page.get_by_test_id("error").wait_for()
    return page


async def lost(stage: Stage) -> Page:
    page = await stage.open(f"/?stream={'a' * 32}")
    await shows(page, "lost")
    await page.get_by_test_id("error").wait_for()
    return page


async def access_form(stage: Stage) -> Page:
    """With the error that a wrong token gets."""
    page = await stage.open(env=CLOSED)
    await page.get_by_label("Access token").fill("wrong")
    await page.keyboard.press("Enter")
    await page.get_by_test_id("prompt").fill("hi")
    await page.get_by_test_id("send").click()
    await expect(page.get_by_test_id("access-error")).not_to_be_empty()
    return page


VIEWS: list[Any] = [
    welcome,
    running,
    every_part_running,
    every_part_finished,
    taken_over,
    versions,
    editing,
    options,
    menu,
    refused,
    lost,
    pytest.param(access_form, marks=pytest.mark.access),
]


async def unfold(page: Page) -> None:
    """Open all that can be opened."""
    await page.evaluate(
        """() => {
          for (const each of document.querySelectorAll("details")) each.open = true;
          for (const each of document.querySelectorAll("button[aria-expanded=false]")) {
            if (each.checkVisibility()) each.click();
          }
        }"""
    )


@pytest.fixture(autouse=True)
def every_part_is_there(task_root: Path) -> None:
    here = Path(__file__).with_name("every_part.py")
    (task_root / here.name).unlink(missing_ok=True)
    (task_root / here.name).symlink_to(here)


@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_has_no_finding_in_light_and_dark_wide_and_narrow(
    stage: Stage, view: Callable[[Stage], Awaitable[Page]]
) -> None:
    page = await view(stage)
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 800})
        assert await findings_in_both_schemes(page) == [], f"{width} px wide"


async def test_axe_finds_a_fault_under_the_policy_of_the_page(stage: Stage) -> None:
    page = await welcome(stage)
    await page.evaluate(
        """() => {
          for (const place of document.querySelectorAll("main, #dock")) {
            const faint = document.createElement("p");
            faint.textContent = "faint";
            faint.style.color = "#888";
            place.append(faint);
          }
          document.querySelector("main").append(document.createElement("button"));
        }"""
    )
    rules = [finding.partition(":")[0] for finding in await findings(page)]
    assert sorted(rules) == ["button-name", "color-contrast", "color-contrast"]
