"""The chat page in Chromium, which reads a stream whose events a test decides one by one."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI
from playwright.async_api import Browser, ConsoleMessage, Locator, Page

from app.api import assets
from app.events import REGISTRY
from tests.app.scripted_server import Answer, Server, answer, frame, sse

DEADLINE = 10
EVENTS = "/streams/s/events"
KINDS = ", ".join(
    f"{kind};terminal" if event.terminal else kind for kind, event in REGISTRY.kinds.items()
)
# The page's policy forbids the string that Playwright's `wait_for_function` would evaluate.
UNTIL = """given => new Promise((resolve) => {{
  const look = () => (({condition})(given) ? resolve() : setTimeout(look, 10));
  look();
}})"""


async def files() -> dict[str, Answer]:
    """The page and its files, as the application serves them."""
    app = FastAPI()
    app.include_router(assets.router)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        page = await http.get("/")
        served = {"/": page}
        for name in ("page.css", "page.js", "favicon.svg"):
            path = f"/assets/{page.text.partition('assets/')[2].partition('/')[0]}/{name}"
            served[path] = await http.get(path)
    return {path: _as_served(response) for path, response in served.items()}


def _as_served(response: httpx.Response) -> Answer:
    kind, policy = response.headers["content-type"], response.headers.get("content-security-policy")
    return answer(response.status_code, response.content, kind, policy=policy)


@dataclass
class Chat:
    """The page, and the stream that the last turn reads."""

    page: Page
    server: Server
    faults_expected: int = 0
    """So many requests fail, of which the browser tells in its console."""
    _frames: list[bytes] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: bool = False

    async def open(self) -> None:
        """Open the address of the stream, or open it again. What was said so far is old."""
        body = {"id": "s", "status": "streaming", "token": None}
        newest = {"last_event_id": f"s:{len(self._frames) - 1}"}
        self.server.script("/streams/s", answer(200, body | newest, kinds=KINDS))
        self.server.script(EVENTS, self._stream)
        await self.page.goto(f"{self.page.url.partition('?')[0]}?stream=s")

    def say(self, kind: str, /, **data: Any) -> None:
        """Send an event."""
        self._frames.append(frame(len(self._frames), kind, data))
        self._news.set()

    def end(self) -> None:
        self.say("done", finish_reason="stop", usage={"input_tokens": 1, "output_tokens": 2})

    def close(self) -> None:
        self._closed = True
        self._news.set()

    async def shows(self, *parts: str) -> None:
        """Return when the page shows exactly these parts, each as its text."""
        shown = """parts => {
          const { children } = document.querySelector(".turn:last-child .answer");
          const shown = [...children].map((each) =>
            (each.querySelector("summary") ?? each).innerText.replaceAll(/\\s+/g, " ").trim());
          return JSON.stringify(shown) === parts;
        }"""
        try:
            await self.until(shown, json.dumps(parts, separators=(",", ":"), ensure_ascii=False))
        except TimeoutError:
            there = await self.page.locator(".turn:last-child .answer > *").all_inner_texts()
            raise AssertionError(f"the page shows {there}, and not {parts}") from None

    async def until(self, condition: str, given: str | None = None) -> None:
        async with asyncio.timeout(DEADLINE):
            await self.page.evaluate(UNTIL.replace("{condition}", condition), given)

    def part(self, kind: str) -> Locator:
        return self.page.get_by_test_id(kind)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await sse()(reader, writer)
        sent = 0
        while not self._closed:
            self._news.clear()
            writer.write(b"".join(self._frames[sent:]))
            sent = len(self._frames)
            await self._news.wait()


@asynccontextmanager
async def chat(browser: Browser) -> AsyncIterator[Chat]:
    """A page of a new profile. An uncaught error, or a violation of its policy, fails the test."""
    faults: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error":
            faults.append(message.text)

    server = Server(await files())
    async with await asyncio.start_server(server.serve, "127.0.0.1") as listener:
        context = await browser.new_context(locale="en-GB", timezone_id="UTC")
        context.set_default_timeout(DEADLINE * 1000)
        await context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = await context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: faults.append(str(error)))
        health = {"status": "ok", "access": "open", "models": ["demo"], "agents": []}
        server.script("/healthz", answer(200, health))
        await page.goto(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/")
        chat = Chat(page, server)
        await chat.until("() => localStorage.length === 1")
        yield chat
        await context.close()
        chat.close()
    assert len(faults) == chat.faults_expected, str(faults)
    assert server.unexpected == [], str(server.unexpected)
