"""The application's log: Powertools' structured JSON, one line an occurrence.

Prompts, answers and whole stream ids never go in: who knows a stream's id can read the stream.
"""

import logging
import os
import traceback

from aws_lambda_powertools import Logger
from starlette.types import ASGIApp, Receive, Scope, Send

logger = Logger(service=os.environ.get("POWERTOOLS_SERVICE_NAME") or "llm-stream")

# At debug level these quote whole requests and answers: prompts, tokens, keys.
for _quotes in ("boto3", "botocore", "httpcore", "httpx", "urllib3"):
    logging.getLogger(_quotes).setLevel(logging.WARNING)


def shortened(stream_id: str) -> str:
    """Enough of a stream id to find its lines, too little to read the stream with."""
    return stream_id[:8]


def described(error: BaseException) -> dict[str, object]:
    """What kind of error it is and where it came from, without its message."""
    return {"error": type(error).__name__, "frames": traceback.format_tb(error.__traceback__)}


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
