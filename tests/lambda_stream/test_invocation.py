"""The context of a handler, read as AWS's libraries read it."""

import json
import time
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from lambda_stream.invocation import Invocation, LambdaContext


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> LambdaContext:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")
    deadline_ms = int(time.time() * 1000) + 60_000
    return LambdaContext.of(Invocation("r-1", deadline_ms, b"{}", function_arn="arn"))


def test_powertools_logs_the_values_of_the_context(
    context: LambdaContext, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = Logger(service="test")

    @logger.inject_lambda_context
    def handler(_event: Any, _context: Any) -> None:
        logger.info("hello")

    handler({}, context)

    line = json.loads(capsys.readouterr().out)
    assert (line["function_name"], line["function_memory_size"]) == ("f", "1024")
    assert (line["function_arn"], line["function_request_id"]) == ("arn", "r-1")


def test_the_time_left_is_in_milliseconds_and_never_negative(context: LambdaContext) -> None:
    assert 50_000 < context.get_remaining_time_in_millis() <= 60_000
    assert LambdaContext("r-1", "arn", deadline_ms=1).get_remaining_time_in_millis() == 0


def test_log_adds_no_line_end_to_a_message(
    context: LambdaContext, capsys: pytest.CaptureFixture[str]
) -> None:
    context.log("one")
    context.log(2)

    assert capsys.readouterr().out == "one2"
