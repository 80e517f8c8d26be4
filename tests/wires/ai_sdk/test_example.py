"""The page of examples/ai-sdk, built by Vite, in Chromium: it shows the text of the log."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.flows.chat_page import profile
from tests.plugin import ROOT
from tests.wires.ai_sdk.conftest import Deploy, Deployed
from tests.wires.node import NODE

pytestmark = [pytest.mark.anyio, pytest.mark.clients, pytest.mark.chromium]

EXAMPLE = ROOT / "examples/ai-sdk"
CLIENTS = ROOT / ".clients/node_modules"
SLOW = {"LEASE": "1.2", "DEMO_TOKENS": "120", "DEMO_TOKENS_PER_SECOND": "40"}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built with the packages of `make clients`."""
    folder = tmp_path_factory.mktemp("example") / "ai-sdk"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (folder / "node_modules").symlink_to(CLIENTS)
    subprocess.run([*_vite(), "build"], cwd=folder, env=_environ(), check=True, timeout=60)
    return folder


@asynccontextmanager
async def page_of(built: Path, deployed: Deployed) -> AsyncIterator[Page]:
    """The page, served by Vite in front of the function."""
    process = await asyncio.create_subprocess_exec(
        *_vite(),
        *("preview", "--host", "127.0.0.1", "--port", "0"),
        cwd=built,
        env={**_environ(), "BACKEND": deployed.url},
        stdout=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30), profile() as browser:
            page = await browser.context.new_page()
            await page.goto(await _address(process))
            yield page
    finally:
        process.kill()
        await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
            return found[0]
    raise AssertionError("Vite has told no address")


def _vite() -> list[str]:
    return [str(NODE), str(CLIENTS / "vite/bin/vite.js")]


def _environ() -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1"}


async def ask(page: Page, text: str, *, after: int) -> None:
    """Ask, and return when the answer has so many characters."""
    await page.get_by_label("Message").fill(text)
    await page.keyboard.press("Enter")
    await longer_than(page, after)


async def longer_than(page: Page, length: int) -> None:
    await page.wait_for_function(
        "length => document.querySelector('article:last-of-type .text')?.innerText.length > length",
        arg=length,
    )


async def assert_exact(page: Page, deployed: Deployed, status: str = "done") -> None:
    """Wait for the end; the page has the log's text, and each message once."""
    await page.locator("main[data-status=ready]").wait_for()
    messages = await page.evaluate("JSON.parse(localStorage.getItem(location.hash.slice(1)))")
    snapshot = await deployed.snapshot(messages[-1]["id"])
    assert snapshot["status"] == status
    shown = await page.locator("article:last-of-type .text").all_text_contents()
    assert "".join(shown) == snapshot["answer"]
    assert await page.locator("article[data-role=user]").count() == len(messages) / 2
    assert await page.locator("article").count() == len(messages)
    assert await page.get_by_role("alert").count() == 0


def test_the_example_names_the_versions_that_are_tested() -> None:
    asked = json.loads((EXAMPLE / "package.json").read_text())
    tested = json.loads((ROOT / "tools/locks/clients/package.json").read_text())["dependencies"]
    named = asked["dependencies"] | asked["devDependencies"]
    assert named == {name: tested[name] for name in named}


async def test_the_writer_is_killed_in_mid_answer(built: Path, deploy: Deploy) -> None:
    async with deploy(SLOW, sandboxes=3) as deployed, page_of(built, deployed) as page:
        await ask(page, "hello", after=50)
        for name in await deployed.function.serving("/ai-sdk/chat"):
            await deployed.function.do("kill", name)
        await assert_exact(page, deployed)


async def test_the_page_is_loaded_again_in_mid_answer(built: Path, deploy: Deploy) -> None:
    async with deploy(SLOW, sandboxes=3) as deployed, page_of(built, deployed) as page:
        await ask(page, "hello", after=50)
        await page.reload()
        await longer_than(page, 50)
        await assert_exact(page, deployed)
        await page.reload()
        await assert_exact(page, deployed)
        await ask(page, "and then?", after=50)
        await assert_exact(page, deployed)


async def test_stop_ends_the_answer(built: Path, deploy: Deploy) -> None:
    endless = {"DEMO_TOKENS": "2000"}
    async with deploy(endless, sandboxes=3) as deployed, page_of(built, deployed) as page:
        await ask(page, "hello", after=50)
        await page.get_by_role("button", name="Stop").click()
        await assert_exact(page, deployed, "cancelled")
