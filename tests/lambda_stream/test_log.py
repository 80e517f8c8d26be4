"""Log lines and error reports, compared with those of the stock runtime."""

import importlib
import json
import logging
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import pytest

from lambda_stream import log
from lambda_stream.exceptions import InitError, MarshalError

stock: Any = importlib.import_module("awslambdaric.lambda_runtime_log_utils")


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    """Yield the root logger; restore its handlers, its level and the request id afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    token = log.request_id.set("r-1")
    yield root
    log.request_id.reset(token)
    root.handlers[:] = handlers
    root.setLevel(level)


def record(message: object, *args: object, **attributes: object) -> logging.LogRecord:
    """A record of 22 November 2026, half a second past 9:30:01."""
    values = {
        "name": "app.streams",
        "levelname": "INFO",
        "levelno": 20,
        "msg": message,
        "args": args,
        "created": 1795339801.5,
        "msecs": 500.0,
        "aws_request_id": "r-1",
        **attributes,
    }
    return logging.makeLogRecord(values)


def exc_info(error: Exception) -> tuple[type[Exception], Exception, TracebackType]:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.type, caught.value, caught.tb


def test_a_text_line_has_level_time_request_id_and_message() -> None:
    line = log.TextFormatter().format(record("%d streams", 3))

    assert line == "[INFO]\t2026-11-22T09:30:01.500Z\tr-1\t3 streams"


def test_a_text_entry_is_always_one_line() -> None:
    info = exc_info(ValueError("first\nsecond"))

    line = log.TextFormatter().format(record("went\nwrong", exc_info=info))

    assert "\n" not in line
    assert "went\rwrong\rTraceback" in line
    assert line.endswith("ValueError: first\rsecond")


@pytest.mark.parametrize(
    "same",
    [
        record("%d streams", 3),
        record({"event": "opened", "é": [1]}),
        record({"%s": "as a format"}, "filled in"),
        record("extras", stream_id="s", count=3, nothing=None, odd={1}),
        record("names that are taken", level="mine", requestId="mine"),
        record("☃", levelno=40, levelname="ERROR"),
    ],
)
def test_a_json_entry_is_that_of_the_stock_runtime(same: logging.LogRecord) -> None:
    """The stock formatter takes the time zone from `logging.Formatter.converter`."""
    reference = stock.JsonFormatter()
    reference.converter = log.JsonFormatter().converter

    line = log.JsonFormatter().format(same)

    assert "\n" not in line
    assert json.loads(line) == json.loads(reference.format(same))


def test_a_json_entry_of_an_exception_has_the_whole_chain() -> None:
    """An exception group without its members is useless; all else equals the stock runtime's."""
    info = exc_info(ExceptionGroup("several", [ValueError("the reason")]))
    same = record("failed", exc_info=info, pathname="/var/task/main.py", funcName="f", lineno=3)
    reference = stock.JsonFormatter()
    reference.converter = log.JsonFormatter().converter

    entry = json.loads(log.JsonFormatter().format(same))
    expected = json.loads(reference.format(same))

    assert "ValueError: the reason" in "".join(entry.pop("stackTrace"))
    del expected["stackTrace"]
    assert entry == expected


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("", logging.WARNING),
        ("TRACE", logging.DEBUG),
        ("DEBUG", logging.DEBUG),
        ("info", logging.INFO),
        ("WARN", logging.WARNING),
        ("ERROR", logging.ERROR),
        ("FATAL", logging.CRITICAL),
        ("EVERYTHING", logging.WARNING),
    ],
)
def test_the_level_is_the_one_that_lambda_sets_or_the_default(
    root: logging.Logger, name: str, level: int
) -> None:
    root.setLevel(logging.WARNING)

    log.configure({"AWS_LAMBDA_LOG_LEVEL": name})

    assert root.level == level


def test_an_applications_own_format_may_name_the_request_id(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """Applications rely on it: the stock runtime's handler on the root logger offers it."""
    log.configure({})
    root.handlers[0].setFormatter(logging.Formatter("%(aws_request_id)s says %(message)s"))

    logging.getLogger("app").error("hello")

    assert capsys.readouterr().out == "r-1 says hello\n"


# Reports


def test_an_error_is_reported_under_lambdas_name_for_it() -> None:
    assert log.describe(InitError("Runtime.HandlerNotFound", "none")).type == (
        "Runtime.HandlerNotFound"
    )
    assert log.describe(MarshalError("no")).type == "Runtime.MarshalError"
    assert log.describe(KeyError("k")).type == "KeyError"
    assert log.describe(KeyError("k")).request_id == "r-1"


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def frames(error: Exception) -> list[str]:
    return [frame.name for frame in log.describe(error).frames]


def test_an_errors_frames_begin_with_the_first_that_is_not_the_runtimes() -> None:
    """All further frames follow, also the runtime's."""
    with pytest.raises(RuntimeError) as caught:
        log.describe(Unspeakable())
    error, outermost = caught.value, caught.tb.tb_frame.f_code.co_name

    assert frames(error) == [outermost, "describe", "__str__"]
    assert frames(error.with_traceback(caught.tb.tb_next)) == ["__str__"]


def test_an_error_of_the_runtime_itself_has_no_frames() -> None:
    with pytest.raises(RuntimeError) as caught:
        log.describe(Unspeakable())
    ours = caught.tb.tb_next
    assert ours is not None
    ours.tb_next = None

    assert frames(caught.value.with_traceback(ours)) == []
