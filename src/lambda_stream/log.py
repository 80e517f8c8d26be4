"""Log lines as Lambda's Python runtime writes them, each with its invocation's request id.

The request id is in a context variable, not in a global: with several invocations at once in one
process, every task logs under its own.
"""

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

# Where the frames between the event loop and a handler are: here, and in the thread's own.
_PACKAGE = __file__.removesuffix("log.py")
_THREAD = "/concurrent/futures/thread.py"


def configure(environ: Mapping[str, str]) -> None:
    """Send the root logger to standard output, as `AWS_LAMBDA_LOG_FORMAT` and `_LEVEL` ask."""
    handler = logging.StreamHandler(sys.stdout)
    json_format = environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
    handler.setFormatter(JsonFormatter() if json_format else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    level = environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    root.setLevel({"TRACE": "DEBUG", "FATAL": "CRITICAL"}.get(level, level) or "WARNING")


class TextFormatter(logging.Formatter):
    """`[LEVEL]<tab>time<tab>request id<tab>message`, one line whatever the message holds.

    Line ends inside become carriage returns: CloudWatch would cut the entry at each newline
    (awslambdaric `ERROR_LOG_LINE_TERMINATE`).
    """

    def __init__(self) -> None:
        super().__init__(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(request_id)s\t%(message)s",
            "%Y-%m-%dT%H:%M:%S",
        )
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        record.request_id = request_id.get()
        return super().format(record).replace("\n", "\r")


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the names Lambda's own JSON log format uses."""

    def __init__(self) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "timestamp": self.formatTime(record, self.datefmt),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "requestId": request_id.get(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            entry["errorType"] = record.exc_info[0].__name__
            entry["errorMessage"] = str(record.exc_info[1])
            entry["stackTrace"] = traceback.format_exception(*record.exc_info)
        return json.dumps(entry)


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
