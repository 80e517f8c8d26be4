"""The flows' emulator with the wire, and pages with `@ag-ui/client` that speak to it."""

import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from durable_stream.text import mended
from tests.flows.conftest import Start
from tests.wires import node, served
from tests.wires.ag_ui.parts import Json, expected, shown

SCRIPT = Path(__file__).with_name("run.mjs")

Turn = dict[str, Any]


@dataclass(frozen=True)
class Deployed(served.Deployed):
    """A function with the wire, and clients of it."""

    PATHS = "/ag-ui"

    def page(self, *turns: Turn, **options: Any) -> Json:
        return {"url": self.url, "threadId": str(uuid.uuid4()), "turns": turns, **options}

    @asynccontextmanager
    async def running(self, *pages: Json) -> AsyncIterator[node.Node]:
        """Pages while they run."""
        async with node.running(SCRIPT, json.dumps(pages), timeout=100) as script:
            yield script

    async def show(self, *turns: Turn, **options: Any) -> list[Json]:
        """The messages of a page after each turn."""
        async with self.running(self.page(*turns, **options)) as script:
            return await script.rest()

    async def assert_exact(self, told: Json, status: str = "done", *, before: int = 1) -> None:
        """Assert that a page shows the parts of its stream, behind so many other messages."""
        snapshot = await self.snapshot(told["streamId"])
        assert snapshot["status"] == status
        ids = [each["id"] for each in told["messages"]]
        assert len(set(ids)) == len(ids), "no message comes twice"
        own = told["messages"][before:]
        assert all(id_.startswith(f"{told['streamId']}-") for id_ in ids[before:])
        customs = [(name, value) for name, value in told["customs"]]
        on_page = shown(own, told["state"], customs)
        assert json.loads(mended(json.dumps(on_page, ensure_ascii=False))) == expected(
            snapshot["parts"]
        )
        assert told["end"]["type"] == ("RUN_ERROR" if status == "error" else "RUN_FINISHED")
        assert told["warnings"] == []


Deploy = Callable[..., AbstractAsyncContextManager[Deployed]]


@pytest.fixture
def deploy(start: Start) -> Deploy:
    """A way to run the function, for the length of an `async with`."""
    return served.deploying(start, "tests.wires.ag_ui.function.handler", Deployed)
