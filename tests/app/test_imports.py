"""What a first token costs at the start of a process: modules that it does not need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store import CREDENTIALS, create_table

SRC = Path(__file__).parents[2] / "src"
# A whole stream: created, generated, logged and read.
FIRST_TOKEN = """
import asyncio, json, sys
from app.main import handler

class Context:
    aws_request_id = "7e0c5a12-3b52-4f0e-9c7d-2f6a8b1e4d02"
    def get_remaining_time_in_millis(self):
        return 10_000

async def stream():
    event = json.load(sys.stdin)
    event["rawPath"] = event["requestContext"]["http"]["path"] = "/sse"
    event["rawQueryString"] = "prompt=hello"
    await handler.startup()
    answer = await handler.respond(event, Context())
    await handler.shutdown()
    return answer["body"]

body = asyncio.run(stream())
assert "event: thinking" in body, body
print(*sorted(sys.modules))
"""


WIRES = """
import sys
import app.main

print(any(name.startswith("app.wires.") for name in {*sys.modules} - {"app.wires.late"}))
"""


@pytest.mark.parametrize(("kind", "are_there"), [("on-demand", "False"), ("snap-start", "True")])
def test_wires_are_in_a_snapshot_and_in_no_other_start(kind: str, are_there: str) -> None:
    environ = {
        **os.environ,
        "AWS_LAMBDA_INITIALIZATION_TYPE": kind,
        "PYTHONPATH": str(SRC),
        "TABLE_NAME": "nowhere",
    }
    ran = subprocess.run(
        [sys.executable, "-c", WIRES],
        capture_output=True,
        text=True,
        env=environ,
        timeout=60,
        check=True,
    )
    assert ran.stdout.split() == [are_there]


@pytest.mark.parametrize("module", ["boto3", "botocore.session", "httpx", "pydantic.v1", "urllib3"])
def test_a_first_token_needs_no(module: str, dynamodb_url: str) -> None:
    environ = {
        **os.environ,
        **CREDENTIALS,
        "PYTHONPATH": str(SRC),
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url,
        "TABLE_NAME": create_table(dynamodb_url),
        "DEMO_FIRST_TOKEN_MS": "1",
        "POWERTOOLS_METRICS_DISABLED": "true",
    }
    event = (SRC.parent / "events/function-url-read.json").read_text()
    ran = subprocess.run(
        [sys.executable, "-c", FIRST_TOKEN],
        input=event,
        capture_output=True,
        text=True,
        env=environ,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert module not in ran.stdout.splitlines()[-1].split()
