"""The control page in Chromium: the sandboxes it shows, and axe-core's findings."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from tests.axe import findings_in_both_schemes
from tests.chromium import chromium
from tests.local.conftest import Emulate

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with chromium() as browser:
        yield await browser.new_page()


@pytest.mark.axe
async def test_dead_sandboxes_are_collapsed_and_axe_finds_nothing(
    emulate: Emulate, page: Page
) -> None:
    async with emulate() as emulator:
        for name in ("sandbox-1", "sandbox-2"):
            assert (await emulator.client.get("/pid")).is_success
            await emulator.act("kill", name)
        assert (await emulator.client.get("/pid")).is_success
        await page.goto(f"{emulator.running.url}/_local")
        await expect(page.locator("#sandboxes .name")).to_have_text(["sandbox-3"])
        folded = page.get_by_text("2 dead")
        await expect(page.get_by_text("sandbox-1")).to_be_hidden()
        await folded.click()
        await expect(page.locator("#dead .name")).to_have_text(["sandbox-1", "sandbox-2"])
        assert await findings_in_both_schemes(page) == []


async def test_the_keyboards_focus_stays_on_the_page_after_a_kill(
    emulate: Emulate, page: Page
) -> None:
    async with emulate() as emulator:
        assert (await emulator.client.get("/pid")).is_success
        await page.goto(f"{emulator.running.url}/_local")
        await page.get_by_role("button", name="Kill sandbox-1").press("Enter")
        await expect(page.get_by_text("1 dead")).to_be_focused()
        await expect(page.get_by_text("No sandbox is running. The next request")).to_be_visible()
