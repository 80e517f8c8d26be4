"""Log lines as Lambda's Python runtime writes them, each with its invocation's request id.

The request id is in a context variable, not in a global: with several invocations at once in one
process, every task logs under its own.
"""

import io
import itertools
import json
import logging
import sys
import time
import traceback
from collections.abc import Mapping
from contextvars import ContextVar

from lambda_stream.exceptions import LambdaStreamError
from lambda_stream.protocol import Error

request_id: ContextVar[str] = ContextVar("request_id", default="")

# What every record has; anything else was passed as `extra`.
_RECORD = vars(logging.makeLogRecord({})).keys() | {"asctime", "message", "aws_request_id"}

# Where the frames between the event loop and a handler are: here, and in the thread's own.
_PACKAGE = __file__.removesuffix("log.py")
_THREAD = "/concurrent/futures/thread.py"


def configure(environ: Mapping[str, str]) -> None:
    """Send the root logger to standard output, as `AWS_LAMBDA_LOG_FORMAT` and `_LEVEL` ask."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What is printed must not wait in a buffer while the sandbox is frozen, or die with it.
        sys.stdout.reconfigure(line_buffering=True)
    handler = logging.StreamHandler(sys.stdout)
    json_format = environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
    handler.setFormatter(JsonFormatter() if json_format else TextFormatter())
    handler.addFilter(_add_request_id)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    levels = {"TRACE": logging.DEBUG, **logging.getLevelNamesMapping()}
    root.setLevel(levels.get(environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper(), root.level))


def _add_request_id(record: logging.LogRecord) -> bool:
    """For any formatter, under the name that the stock runtime gives it."""
    record.aws_request_id = request_id.get()
    return True


class TextFormatter(logging.Formatter):
    """`[LEVEL]<tab>time<tab>request id<tab>message`, one line whatever the message holds.

    Line ends inside become carriage returns: CloudWatch would cut the entry at each newline
    (awslambdaric `ERROR_LOG_LINE_TERMINATE`).
    """

    def __init__(self) -> None:
        super().__init__(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s",
            "%Y-%m-%dT%H:%M:%S",
        )
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\n", "\r")


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the names and the extras of the stock runtime's.

    `stackTrace` is of the whole chain, and so tells what an exception group holds; the stock
    runtime's is of the last exception only.
    """

    def __init__(self) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        is_object = isinstance(record.msg, dict) and not record.args
        entry: dict[str, object] = {
            "timestamp": self.formatTime(record, self.datefmt),
            "level": record.levelname,
            "message": record.msg if is_object else record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info and record.exc_info[0] is not None:
            entry["stackTrace"] = traceback.format_exception(*record.exc_info)
            entry["errorType"] = record.exc_info[0].__name__
            entry["errorMessage"] = str(record.exc_info[1])
            entry["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
        entry["requestId"] = vars(record).get("aws_request_id")
        extra = {name: vars(record)[name] for name in vars(record).keys() - _RECORD - entry.keys()}
        known = {name: value for name, value in (entry | extra).items() if value is not None}
        return json.dumps(known, ensure_ascii=False, default=str)


def describe(error: BaseException) -> Error:
    """The report of a failure for the Runtime API, under the current request id.

    Its frames begin with the first that is not the runtime's, as the stock runtime's do.
    """
    name = error.error_type if isinstance(error, LambdaStreamError) else None
    return Error(
        type=name or type(error).__name__,
        message=str(error),
        frames=list(itertools.dropwhile(_leads_there, traceback.extract_tb(error.__traceback__))),
        request_id=request_id.get(),
    )


def _leads_there(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith(_PACKAGE) or frame.filename.endswith(_THREAD)
