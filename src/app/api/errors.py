"""Errors as answers: a status, a stable code, and a message that names the next step.

The values that a client sent are never repeated, neither in an answer nor in the log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import metrics
from app.exceptions import AppError, RequestRefused, RetryLater
from app.log import logger
from durable_stream import (
    BadCursor,
    InputTooLarge,
    KeyReused,
    StoreError,
    StoreUnavailable,
    StreamError,
    StreamNotFound,
)

T = TypeVar("T")

# The errors that a caller is told.
TELLABLE: tuple[type[Exception], ...] = (
    AppError,
    StreamError,
    RequestValidationError,
    HTTPException,
)

# FastAPI's answer to a body that json.loads refuses for another reason than its syntax: not UTF-8,
# nested too deep, an endless number.
_UNPARSABLE = 400

# A wrong request is told so many problems, however many it has.
_PROBLEMS_TOLD = 5
_LONGEST_NAME = 100
_OF_AN_OBJECT = frozenset(
    {"value_error", "extra_forbidden", "missing", "string_unicode", "unknown_agent"}
)

_RETRY_AFTER = {"Retry-After": "2"}
_CODES = {404: "not_found", 405: "method_not_allowed"}

# The engine's errors carry their code and their sentence; only HTTP knows of statuses.
_STATUSES: Mapping[type[StreamError], int] = {
    StreamNotFound: 404,
    BadCursor: 400,
    KeyReused: 422,
    StoreUnavailable: 503,
}

# Where a route can say more than the engine, which knows none.
_MESSAGES: Mapping[type[StreamError], str] = {
    StreamNotFound: "There is no such stream, or it has expired: create one with POST /streams.",
}

_TOO_LARGE = RequestRefused(
    413,
    "prompt_too_large",
    "The prompt is too large to be stored: control characters and quotes count manifold. "
    "Shorten it.",
)


@dataclass(frozen=True, slots=True)
class Told:
    """An error as a caller is told it. `param` names the member of the body that is at fault."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    param: str | None = None

    def answer(self) -> JSONResponse:
        """The JSON answer of this application's own wire."""
        body = {"error": {"code": self.code, "message": self.message}}
        return JSONResponse(body, self.status, self.headers)


def install(app: FastAPI) -> None:
    """Turn every error that a route may raise into an answer."""
    for error in TELLABLE:
        app.add_exception_handler(error, _answer)


async def _answer(_: Request, error: Exception) -> JSONResponse:
    return told(error).answer()


def told(error: Exception) -> Told:
    """The error as a caller is told it; the operator finds the rest in log and metrics."""
    match error:
        case AppError():
            return _app_error(error)
        case StreamError():
            return _stream_error(error)
        case RequestValidationError():
            return _invalid(error.errors())
        case HTTPException():
            return _http(error)
        case _:
            raise TypeError(f"{type(error).__name__} is no error to tell")


def _app_error(error: AppError) -> Told:
    if isinstance(error, RetryLater):
        metrics.refused(error.code)
        retry_after = {"Retry-After": str(error.retry_after)}
        return Told(error.status, error.code, error.message, retry_after)
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        metrics.failed(error.code)
    param = error.param if isinstance(error, RequestRefused) else None
    return Told(error.status, error.code, error.message, error.headers, param)


def _stream_error(error: StreamError) -> Told:
    if isinstance(error, InputTooLarge):
        return _app_error(_TOO_LARGE)
    if isinstance(error, StoreError):
        logger.error("the store failed", exc_info=error)
        metrics.failed(error.code)
    status = _first(_STATUSES, error, HTTPStatus.INTERNAL_SERVER_ERROR)
    again = _RETRY_AFTER if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Told(status, error.code, _first(_MESSAGES, error, error.message), again)


def _first(table: Mapping[type[StreamError], T], error: StreamError, default: T) -> T:
    """The entry for the error's class or a base of it."""
    return next((entry for each, entry in table.items() if isinstance(error, each)), default)


def _invalid(problems: Sequence[Any]) -> Told:
    if any(_is_of_the_body_as_a_whole(problem) for problem in problems):
        return _not_json()
    if problems[0]["type"] == "unknown_agent":
        return Told(422, "unknown_agent", f"This agent is not served: {problems[0]['msg']}.")
    return Told(422, "invalid_request", f"The request is invalid. {problems_told(problems)}.")


def problems_told(problems: Sequence[Any]) -> str:
    """The first of pydantic's problems in one line, each with the place of its member."""
    listed = [_problem(problem) for problem in problems[:_PROBLEMS_TOLD]]
    if len(problems) > len(listed):
        listed.append(f"and {len(problems) - len(listed)} more")
    return "; ".join(listed)


def _problem(problem: Mapping[str, Any]) -> str:
    where = ".".join(map(str, problem["loc"]))
    if len(where) > _LONGEST_NAME:
        where = f"{where[: _LONGEST_NAME - 1]}…"
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])


def _is_of_the_body_as_a_whole(problem: Mapping[str, Any]) -> bool:
    """True if the body is no object at all, rather than one with a wrong member."""
    is_object = problem["type"] in _OF_AN_OBJECT
    return problem["type"] == "json_invalid" or (problem["loc"] == ("body",) and not is_object)


def _not_json() -> Told:
    message = "The body is not a JSON object: send one such as"
    example = '{"prompt": "…"} with Content-Type: application/json.'
    return Told(422, "invalid_json", f"{message} {example}")


def _http(error: HTTPException) -> Told:
    if error.status_code == _UNPARSABLE:
        return _not_json()
    code = _CODES.get(error.status_code, "http_error")
    message = f"{error.detail}. GET /openapi.json lists what there is."
    return Told(error.status_code, code, message, error.headers or {})


class UnexpectedErrors:
    """ASGI middleware: an unexpected error is answered, and raised again for the runtime.

    Starlette's own handler for such errors stands outside of all middleware, so its answers would
    lack the headers that others have.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and answer if nothing else has begun to."""
        begun = False

        async def send_and_see(message: Message) -> None:
            nonlocal begun
            await send(message)
            # Not before: a head that is too large is refused, and another may follow it.
            begun = True

        try:
            await self._app(scope, receive, send_and_see)
        except Exception:
            if scope["type"] == "http" and not begun:
                code = "internal_error"
                metrics.failed(code)
                message = "Something broke: the operator finds the reason in the function's log."
                await Told(500, code, message).answer()(scope, receive, send)
            raise
