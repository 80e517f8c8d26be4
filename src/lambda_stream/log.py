"""The function's log: lines as the stock Python runtime writes them, each with its request id.

The request id is a context variable, so concurrent invocations in one process log under their own.
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

# The attributes of every record; any other was passed as `extra`.
_RECORD = vars(logging.makeLogRecord({})).keys() | {"asctime", "message", "aws_request_id"}

# The files of the frames between the event loop and a handler: this package, and the thread pool.
_PACKAGE = __file__.removesuffix("log.py")
_THREAD = "/concurrent/futures/thread.py"


def configure(environ: Mapping[str, str]) -> None:
    """Send the root logger to standard output, as `AWS_LAMBDA_LOG_FORMAT` and `_LEVEL` say."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A buffered line would wait while the sandbox is frozen, or be lost with it.
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
    """Add the request id to a record, under the stock runtime's name for it."""
    record.aws_request_id = request_id.get()
    return True


class TextFormatter(logging.Formatter):
    """Writes `[LEVEL]<tab>time<tab>request id<tab>message`, always as one line.

    Newlines in a message become carriage returns, since CloudWatch would split the entry at each
    newline (awslambdaric `ERROR_LOG_LINE_TERMINATE`).
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
    """Writes one JSON object a line, with the stock runtime's names and the record's extras.

    `stackTrace` covers the whole chain of exceptions and the members of exception groups; the
    stock runtime's covers the last exception only.
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
    """Make the report of a failure for the Runtime API, with the current request id.

    As in the stock runtime, its traceback leaves out the runtime's own outer frames.
    """
    name = error.error_type if isinstance(error, LambdaStreamError) else None
    return Error(
        type=name or type(error).__name__,
        message=str(error),
        frames=list(itertools.dropwhile(_is_runtime, traceback.extract_tb(error.__traceback__))),
        request_id=request_id.get(),
    )


def _is_runtime(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith(_PACKAGE) or frame.filename.endswith(_THREAD)
