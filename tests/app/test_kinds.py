"""The header by which a client learns of kinds of events."""

import httpx
import pytest
from fastapi import Depends, FastAPI

from app.api import headers, kinds
from app.events import EVENTS
from durable_stream import Event, Registry, Text

pytestmark = pytest.mark.anyio


class Verdict(Event):
    """An event of a cloner's own."""

    kind = "verdict"


class Aside(Text):
    """A text of a cloner's own."""

    kind = "aside"


async def test_answers_name_every_kind_those_that_end_a_stream_and_those_that_are_text() -> None:
    app = FastAPI()

    @app.get("/", dependencies=[Depends(kinds.told(Registry((*EVENTS, Verdict, Aside))))])
    async def route() -> dict[str, str]:
        return {}

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        told = (await http.get("/")).headers["event-kinds"].split(", ")
    assert {kind for kind in told if ";" not in kind} == {
        *("start", "claim", "heartbeat", "handoff", "reset", "step", "step_end"),
        *("tool_call", "tool_result", "progress", "data", "source"),
        "verdict",
    }
    assert {kind.removesuffix(";text") for kind in told if kind.endswith(";text")} == {
        *("thinking", "answer", "aside")
    }
    assert {kind.removesuffix(";terminal") for kind in told if kind.endswith(";terminal")} == {
        *("error", "cancelled", "done")
    }


def test_a_page_of_another_origin_may_read_it() -> None:
    assert kinds.HEADER in headers.cross_origin(["https://app.example.com"])["expose_headers"]
