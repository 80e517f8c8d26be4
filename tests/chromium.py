"""A real browser, for tests that carry the `chromium` marker."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@asynccontextmanager
async def chromium(*, keeps_pages: bool = False) -> AsyncIterator[Browser]:
    """The machine's Chromium, without a window, and without its own talk to the network.

    As people's browsers do, it `keeps_pages` for the Back button. Playwright turns that off.
    """
    path = shutil.which("chromium")
    without = ["--disable-back-forward-cache"] if keeps_pages else None
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=FLAGS, ignore_default_args=without
        )
        yield browser
        await browser.close()
