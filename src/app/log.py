"""The application's log: Powertools' structured JSON, one line an occurrence.

Prompts, answers and whole stream ids never go in: who knows a stream's id can read the stream.
"""

import logging
import os

from aws_lambda_powertools import Logger
from starlette.types import ASGIApp, Receive, Scope, Send

from app.settings import APP_NAME
from durable_stream import Hooks, Task
from durable_stream.exceptions import shortened

logger = Logger(service=os.environ.get("POWERTOOLS_SERVICE_NAME") or APP_NAME)

# At debug level these quote whole requests and answers: prompts, tokens, keys.
for _quotes in ("boto3", "botocore", "httpcore", "httpx", "urllib3"):
    logging.getLogger(_quotes).setLevel(logging.WARNING)


# The engine logs by the standard library, in the application's format and under its keys.
logging.getLogger("durable_stream").addHandler(logger.registered_handler)
logging.getLogger("durable_stream").propagate = False
logging.getLogger("durable_stream").setLevel(logger.log_level)


class StreamInLog(Hooks):
    """Names the stream and the attempt in all that is logged while a writer works on them."""

    def attempting(self, task: Task) -> None:
        """Name them in the context of the task that calls."""
        named = {"stream": shortened(task.stream_id), "attempt": task.attempt}
        logger.thread_safe_append_keys(**named)


class RequestIdInLog:
    """ASGI middleware: all that a request causes is logged under its invocation's id.

    The key is in a context variable, which a task inherits: so it also holds for the generation
    that a request starts, and many requests at once in one process do not mix.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Name the request, and pass it on."""
        if (context := scope.get("aws.context")) is not None:
            logger.thread_safe_append_keys(request_id=context.aws_request_id)
        await self._app(scope, receive, send)
