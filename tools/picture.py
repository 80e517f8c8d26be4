"""Takes README's picture: `python -m picture` shows an answer that another sandbox took over.

It runs the emulator, asks on the chat page in Chromium, kills the sandbox that writes, and takes
the screenshot while the page tells about the other one. It depends on the page's `data-testid`s
`prompt`, `answer`, and `taken-over` or `state`, and on the strip of the sandboxes.
"""

import asyncio
import re
import shutil
import sys
from pathlib import Path
from typing import Literal, TypeAlias

from playwright.async_api import Browser, Error, Locator, Page, async_playwright, expect

from local import CannotStart, Options, serve
from local.options import PROJECT

Scheme: TypeAlias = Literal["light", "dark"]

PICTURES: dict[Scheme, Path] = {"light": PROJECT / "docs/page.png"}
PROMPT = "What happens when the sandbox is killed?"
SIZE = (1200, 800)
SCALE = 1.5
# A README should not take long to load.
MAX_BYTES = 200_000
# The length of the answer at which its writer is killed, and at which the picture is taken.
KILLED_AT = 350
TAKEN_AT = 400
# Milliseconds; a take-over takes four seconds, and a sandbox takes its time to start.
PATIENCE = 60_000


class NoPicture(Exception):
    """Raised when there is no picture; the message says what to do."""


async def main() -> int:
    """Take all pictures, and return the exit status."""
    try:
        for scheme, path in PICTURES.items():
            path.write_bytes(await picture(scheme))
            print(f"{path.relative_to(PROJECT)}: {path.stat().st_size / 1000:.0f} kB")
    except (NoPicture, CannotStart) as error:
        print(f"python -m picture: {error}", file=sys.stderr)
        return 1
    return 0


async def picture(scheme: Scheme) -> bytes:
    """Return a PNG of the page in these colours.

    Raises:
        NoPicture: there is no Chromium, or the picture is not the one that is wanted.
        CannotStart: the emulator cannot start.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        raise NoPicture("chromium is missing: install it (Debian: apt-get install chromium)")
    options = Options(port=0, provider="demo")
    async with serve(options, lambda _: None) as running, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            page = await _page(browser, scheme)
            await page.goto(running.url)
            await _see_taken_over(page)
            png = await page.screenshot(animations="disabled")
            # The page shows it for some seconds, which may have passed on a busy machine.
            if not await _taken_over(page).is_visible():
                raise NoPicture("the page stopped telling about the take-over: run it again")
        except (AssertionError, Error) as error:
            raise NoPicture(f"the page did not show the take-over: {error}") from error
        finally:
            await browser.close()
    if len(png) > MAX_BYTES:
        raise NoPicture(f"the picture has {len(png)} bytes, more than {MAX_BYTES}: lower SCALE")
    return png


async def _page(browser: Browser, scheme: Scheme) -> Page:
    width, height = SIZE
    page = await browser.new_page(
        viewport={"width": width, "height": height},
        device_scale_factor=SCALE,
        color_scheme=scheme,
        locale="en-GB",
    )
    page.set_default_timeout(PATIENCE)
    return page


async def _see_taken_over(page: Page) -> None:
    """Ask, kill the writer in mid-answer, and return when another sandbox has gone on."""
    await page.get_by_test_id("prompt").fill(PROMPT)
    await page.keyboard.press("Enter")
    await _answer_has(page, KILLED_AT)
    kill = page.get_by_test_id("kill")
    await expect(kill).to_have_attribute("aria-disabled", "false", timeout=PATIENCE)
    await kill.click()
    await page.mouse.move(0, 0)  # the button would look as it does under the pointer
    await _taken_over(page).wait_for()
    await page.locator("[data-testid=writer][data-state=busy]").wait_for()
    await _answer_has(page, TAKEN_AT)


def _taken_over(page: Page) -> Locator:
    """The place that tells about the take-over: a line of the turn, or the state for a while."""
    told = "[data-testid=taken-over], [data-testid=state][data-state=taken-over]"
    return page.locator(told).filter(visible=True).last


async def _answer_has(page: Page, characters: int) -> None:
    answer = page.get_by_test_id("answer").last
    await expect(answer).to_have_text(re.compile(f".{{{characters}}}", re.DOTALL), timeout=PATIENCE)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
