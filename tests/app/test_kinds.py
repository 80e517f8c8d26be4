"""The header by which a client learns of kinds of events."""

import httpx
import pytest
from fastapi import Depends, FastAPI

from app.api import headers, kinds
from app.events import EVENTS
from durable_stream import Event, Registry

pytestmark = pytest.mark.anyio


class Verdict(Event):
    """An event of a cloner's own."""

    kind = "verdict"


async def test_answers_name_every_kind_and_those_that_end_a_stream() -> None:
    app = FastAPI()

    @app.get("/", dependencies=[Depends(kinds.told(Registry((*EVENTS, Verdict))))])
    async def route() -> dict[str, str]:
        return {}

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        told = (await http.get("/")).headers["event-kinds"].split(", ")
    assert {kind for kind in told if not kind.endswith(";terminal")} == {
        *("start", "claim", "heartbeat", "handoff", "reset", "step", "step_end"),
        *("thinking", "answer", "tool_call", "tool_result", "progress", "data", "source"),
        "verdict",
    }
    assert {kind.removesuffix(";terminal") for kind in told if kind.endswith(";terminal")} == {
        *("error", "cancelled", "done")
    }


def test_a_page_of_another_origin_may_read_it() -> None:
    assert kinds.HEADER in headers.cross_origin(["https://app.example.com"])["expose_headers"]
