"""`sam local` as a person starts it: SAM CLI runs the function, and makes no table."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.application import create_app
from app.models.demo import DemoProvider
from app.settings import Settings
from durable_stream import Timing
from durable_stream.table import UNDER_SAM_LOCAL, is_missing
from lambda_stream import Adapter
from lambda_stream.invocation import LambdaContext
from tests.store import CREDENTIALS

pytestmark = pytest.mark.anyio

FILES = sorted((Path(__file__).parents[2] / "events").glob("*.json"))
EVENTS = {path.stem: json.loads(path.read_text()) for path in FILES}
SAM_LOCAL = {"AWS_SAM_LOCAL": "true"}
ENDPOINT = "http://127.0.0.1:8000"


def context() -> LambdaContext:
    return LambdaContext(
        aws_request_id="1",
        invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:streams",
        deadline_ms=int((time.time() + 60) * 1000),
    )


@pytest.mark.parametrize("name", EVENTS)
async def test_every_event_is_answered_with_what_brings_a_table(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in {**CREDENTIALS, **SAM_LOCAL}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB", raising=False)
    settings = Settings(table_name=UNDER_SAM_LOCAL, timing=Timing(buffered_window=10))
    adapter = Adapter(create_app(settings, DemoProvider(tokens=3)))
    await adapter.startup()

    answer = await adapter.respond(EVENTS[name], context())
    await adapter.shutdown()

    assert answer["statusCode"] == 500
    error = json.loads(answer["body"])["error"]
    assert error["code"] == "log_refused"
    assert "make sam-local" in error["message"]


@pytest.mark.parametrize(
    ("name", "environ", "missing"),
    [
        (UNDER_SAM_LOCAL, SAM_LOCAL, True),
        (UNDER_SAM_LOCAL, {**SAM_LOCAL, "AWS_ENDPOINT_URL_DYNAMODB": ENDPOINT}, False),
        (UNDER_SAM_LOCAL, {**SAM_LOCAL, "AWS_ENDPOINT_URL": ENDPOINT}, False),
        ("a-table-on-aws", SAM_LOCAL, False),
        (UNDER_SAM_LOCAL, {}, False),
    ],
)
def test_a_table_is_missing_where_nothing_says_where_it_is(
    name: str, environ: Mapping[str, str], *, missing: bool
) -> None:
    assert is_missing(name, environ) is missing
