"""The ASGI lifespan of an application, once per sandbox."""

import asyncio
import logging
from typing import Any

from lambda_stream.asgi import Application, Message
from lambda_stream.exceptions import InitError, UnexpectedMessage

logger = logging.getLogger(__name__)


class Lifespan:
    """Runs an application's lifespan in a task of its own, from startup to shutdown.

    An application without lifespan support raises at once. It is served all the same: "If an
    exception is raised when calling the application callable with a lifespan.startup message or a
    scope of type lifespan, the server must continue" (ASGI spec).
    """

    def __init__(self, app: Application) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._task: asyncio.Task[None] | None = None
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()

    async def startup(self) -> None:
        """Start the application and wait until it is ready; raises InitError."""
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        self._task = asyncio.ensure_future(self._app(scope, self._to_app.get, self._from_app.put))
        answer = await self._exchange("startup")
        failure = _failure(self._task)
        if answer is None:
            logger.info("the application is served without a lifespan: %r", failure)
            self._task = None
        elif answer["type"] == "lifespan.startup.failed":
            raise InitError("Runtime.LifespanFailed", answer.get("message", ""))

    async def shutdown(self) -> None:
        """Shut the application down and wait until it has; a failure is logged."""
        if self._task is None:
            return
        answer = None if self._task.done() else await self._exchange("shutdown")
        failure = _failure(self._task)
        if answer is not None and answer["type"] == "lifespan.shutdown.failed":
            logger.error("the application failed to shut down: %s", answer.get("message", ""))
        elif failure is not None:
            logger.error("the application's lifespan failed", exc_info=failure)
        self._task = None

    async def _exchange(self, phase: str) -> Message | None:
        """Send one message and return its answer, or None if the application ends without one."""
        assert self._task is not None
        await self._to_app.put({"type": f"lifespan.{phase}"})
        answer = asyncio.ensure_future(self._from_app.get())
        await asyncio.wait([self._task, answer], return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            return None
        message = answer.result()
        if message["type"] not in {f"lifespan.{phase}.complete", f"lifespan.{phase}.failed"}:
            raise UnexpectedMessage(f"Expected lifespan.{phase}.complete, got {message['type']!r}")
        return message


def _failure(task: asyncio.Task[None]) -> BaseException | None:
    """Return the exception that ended a task, and so keep asyncio from warning about it."""
    return task.exception() if task.done() and not task.cancelled() else None
