"""The function's log: Powertools' structured JSON, one line for each occurrence.

Prompts, answers and whole stream ids are never logged: a stream's id opens it where access is open.
"""

import logging
import os

from aws_lambda_powertools import Logger
from starlette.types import ASGIApp, Receive, Scope, Send

from app.settings import APP_NAME
from durable_stream import Hooks, Task
from durable_stream.exceptions import shortened

logger = Logger(service=os.environ.get("POWERTOOLS_SERVICE_NAME") or APP_NAME)

# At debug level these log whole requests and answers: prompts, tokens, keys.
for _quotes in ("boto3", "botocore", "httpcore", "httpx", "urllib3"):
    logging.getLogger(_quotes).setLevel(logging.WARNING)


# The engine logs by the standard library, in the application's format and under its keys.
logging.getLogger("durable_stream").addHandler(logger.registered_handler)
logging.getLogger("durable_stream").propagate = False
logging.getLogger("durable_stream").setLevel(logger.log_level)


class StreamInLog(Hooks):
    """Adds the stream and the attempt to every log line of their writer."""

    def attempting(self, task: Task) -> None:
        """Add them to the context of the calling task."""
        named = {"stream": shortened(task.stream_id), "attempt": task.attempt}
        logger.thread_safe_append_keys(**named)


class RequestIdInLog:
    """ASGI middleware: logs everything that a request causes under its invocation's id.

    The key is in a context variable, which tasks inherit. So it also holds for the writer that a
    request starts, and concurrent requests in one process do not mix.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the id, and pass the request on."""
        if (context := scope.get("aws.context")) is not None:
            logger.thread_safe_append_keys(request_id=context.aws_request_id)
        await self._app(scope, receive, send)
