"""The control page in Chromium: the sandboxes it shows, and their contrast."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from tests.chromium import chromium
from tests.local.conftest import Emulate

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

# WCAG 2.2, 1.4.3, for every visible text except that of disabled buttons.
TOO_FAINT = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map(
      (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4),
    );
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const [r, g, b, a = 1] = numbers(getComputedStyle(element).backgroundColor);
    return a || !element.parentElement ? [r, g, b] : ground(element.parentElement);
  };
  const opacity = (element) =>
    element ? getComputedStyle(element).opacity * opacity(element.parentElement) : 1;
  const contrast = (element) => {
    const behind = ground(element);
    const share = opacity(element);
    const ink = numbers(getComputedStyle(element).color).slice(0, 3);
    const seen = ink.map((v, i) => v * share + behind[i] * (1 - share));
    const [low, high] = [luminance(seen), luminance(behind)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  return [...document.querySelectorAll("body *:not(script, button:disabled)")]
    .filter((element) => element.checkVisibility())
    .filter((element) => [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .filter((element) => contrast(element) < 4.5)
    .map((element) => element.textContent);
}"""


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with chromium() as browser:
        yield await browser.new_page()


async def test_dead_sandboxes_are_collapsed_and_all_text_has_enough_contrast(
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
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            assert await page.evaluate(TOO_FAINT) == []


async def test_the_keyboards_focus_stays_on_the_page_after_a_kill(
    emulate: Emulate, page: Page
) -> None:
    async with emulate() as emulator:
        assert (await emulator.client.get("/pid")).is_success
        await page.goto(f"{emulator.running.url}/_local")
        await page.get_by_role("button", name="Kill sandbox-1").press("Enter")
        await expect(page.get_by_text("1 dead")).to_be_focused()
        await expect(page.get_by_text("No sandbox is running. The next request")).to_be_visible()
