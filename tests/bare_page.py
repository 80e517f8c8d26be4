"""Pages of Chromium without Playwright, which keeps its own pages visible, so they never freeze."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, CDPSession

DEADLINE = 10


@dataclass
class BarePages:
    """Opens pages, and carries the messages of the debugging protocol to them."""

    session: CDPSession
    _answers: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    _sent: int = 0

    def __post_init__(self) -> None:
        self.session.on("Target.receivedMessageFromTarget", self._received)

    async def open(self, address: str) -> "BarePage":
        target = await self.session.send("Target.createTarget", {"url": address})
        attached = {"targetId": target["targetId"], "flatten": False}
        answer = await self.session.send("Target.attachToTarget", attached)
        return BarePage(self, target["targetId"], answer["sessionId"])

    async def send(self, page: str, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._sent += 1
        answer = self._answers[self._sent] = asyncio.get_running_loop().create_future()
        message = json.dumps({"id": self._sent, "method": method, "params": params})
        given = {"sessionId": page, "message": message}
        await self.session.send("Target.sendMessageToTarget", given)
        async with asyncio.timeout(DEADLINE):
            result: dict[str, Any] = await answer
        return result

    def _received(self, told: dict[str, Any]) -> None:
        message = json.loads(told["message"])
        if answer := self._answers.pop(message.get("id"), None):
            answer.set_result(message["result"])


@dataclass
class BarePage:
    """A page, which the debugging protocol can hide, freeze and show again."""

    pages: BarePages
    target: str
    session: str

    async def evaluate(self, script: str) -> Any:
        given = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = await self._send("Runtime.evaluate", given)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, condition: str, seconds: float = DEADLINE) -> None:
        """Return when an expression is true. A frozen page has no timers, so it is asked."""
        async with asyncio.timeout(seconds):
            while not await self.evaluate(f"Boolean({condition})"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def freeze(self) -> None:
        await self._send("Page.setWebLifecycleState", {"state": "frozen"})

    async def resume(self) -> None:
        await self._send("Page.setWebLifecycleState", {"state": "active"})

    async def close(self) -> None:
        await self.pages.session.send("Target.closeTarget", {"targetId": self.target})

    async def _send(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return await self.pages.send(self.session, method, params)


async def bare_pages(browser: Browser) -> BarePages:
    return BarePages(await browser.new_browser_cdp_session())
