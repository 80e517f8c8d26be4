"""The application under a path that is not its own: the stage of a REST API."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from app import parts
from app.application import create_app
from app.models.demo import DemoProvider
from app.settings import Settings
from durable_stream import Timing
from durable_stream.dynamodb import DynamoDBStore
from lambda_stream import Adapter
from lambda_stream.invocation import LambdaContext

pytestmark = pytest.mark.anyio

EVENTS = Path(__file__).parents[2] / "events"


def context() -> LambdaContext:
    return LambdaContext(
        aws_request_id="1",
        invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:streams",
        deadline_ms=int((time.time() + 60) * 1000),
    )


def get(address: str) -> dict[str, Any]:
    """A REST API's event for an address that the application itself has given to a client."""
    path, _, query = address.partition("?")
    event: dict[str, Any] = json.loads((EVENTS / "rest-create.json").read_text())
    event |= {"httpMethod": "GET", "body": None, "path": path.removeprefix("/live")}
    name, _, value = query.partition("=")
    event["multiValueQueryStringParameters"] = {name: [value]}
    event["requestContext"]["path"] = path
    return event


@pytest.mark.access
async def test_addresses_lead_back_to_where_they_come_from(log: DynamoDBStore) -> None:
    settings = Settings(table_name=log._table.name, timing=Timing(buffered_window=10))
    gate = parts.gate({"API_TOKENS": json.dumps({"default": "t" * 32})})
    adapter = Adapter(create_app(settings, DemoProvider(tokens=3), gate=gate))
    await adapter.startup()
    creating = json.loads((EVENTS / "rest-create.json").read_text())
    creating["multiValueHeaders"]["Authorization"] = ["Bearer " + "t" * 32]

    created = json.loads((await adapter.respond(creating, context()))["body"])
    events = await adapter.respond(get(created["events_url"]), context())
    snapshot = json.loads((await adapter.respond(get(created["url"]), context()))["body"])

    assert created["url"].startswith(f"/live/streams/{created['id']}?token=")
    assert "event: done" in events["body"]
    assert snapshot["status"] == "done"
    assert snapshot["events_url"] == created["events_url"]
    await adapter.shutdown()


async def test_a_stage_without_its_slash_leads_to_the_page_behind_it(log: DynamoDBStore) -> None:
    """By a relative address, which repeats neither the Host nor the query that came."""
    adapter = Adapter(create_app(Settings(table_name=log._table.name), DemoProvider(tokens=3)))
    await adapter.startup()
    asked = get(f"/live?a={'b' * 20_000}") | {"path": "/"}
    asked["multiValueHeaders"]["Host"] = ["evil.example"]

    answer = await adapter.respond(asked, context())
    other = await adapter.respond(get("/live/healthz/?a=b"), context())

    assert (answer["statusCode"], answer["headers"]["location"]) == (307, "./live/")
    assert other["statusCode"] == 404
    await adapter.shutdown()
