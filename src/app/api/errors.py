"""How errors look: a status, a stable code, and a message that says what to do.

The values a client sent are never repeated, neither in an answer nor in the log.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import metrics
from app.exceptions import (
    BadCursor,
    BeyondBudget,
    KeyReused,
    LimitExceeded,
    LogError,
    LogUnavailable,
    NoTable,
    RequestTooLarge,
    SecretError,
    SecretUnavailable,
    StreamNotFound,
    TokenExpired,
    Unauthorized,
)
from app.log import logger

# FastAPI's answer to a body that json.loads cannot take for another reason than its syntax:
# not UTF-8, nested too deep, an endless number.
_UNPARSABLE = 400

# What a wrong request is told of itself: so much, however much is wrong with it.
_PROBLEMS_TOLD = 5
_LONGEST_NAME = 100
_OF_AN_OBJECT = frozenset({"value_error", "extra_forbidden", "missing", "string_unicode"})

_BEARER = {"WWW-Authenticate": "Bearer"}
_CODES = {404: "not_found", 405: "method_not_allowed"}


class RequestRefused(Exception):
    """Raised by a route to answer with an error of its own."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def answer(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The JSON answer for an error."""
    body = {"error": {"code": code, "message": message}}
    return JSONResponse(body, status, headers)


def install(app: FastAPI) -> None:
    """Translate every error that a route may raise."""
    app.add_exception_handler(RequestRefused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StreamNotFound, _not_found)
    app.add_exception_handler(BadCursor, _bad_cursor)
    app.add_exception_handler(KeyReused, _key_reused)
    app.add_exception_handler(RequestTooLarge, _too_large)
    app.add_exception_handler(Unauthorized, _unauthorized)
    app.add_exception_handler(TokenExpired, _token_expired)
    app.add_exception_handler(LimitExceeded, _limit_exceeded)
    app.add_exception_handler(BeyondBudget, _beyond_budget)
    app.add_exception_handler(LogError, _log_failed)
    app.add_exception_handler(SecretError, _secret_failed)
    app.add_exception_handler(HTTPException, _http)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestRefused)
    return answer(error.status, error.code, error.message)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    if any(_is_of_the_body_as_a_whole(problem) for problem in error.errors()):
        return _not_json()
    problems = error.errors()
    told = [_problem(problem) for problem in problems[:_PROBLEMS_TOLD]]
    if len(problems) > len(told):
        told.append(f"and {len(problems) - len(told)} more")
    return answer(422, "invalid_request", f"The request is invalid. {'; '.join(told)}.")


def _problem(problem: Mapping[str, Any]) -> str:
    where = ".".join(map(str, problem["loc"]))
    if len(where) > _LONGEST_NAME:
        where = f"{where[: _LONGEST_NAME - 1]}…"
    return f"{where}: {problem['msg']}"


def _is_of_the_body_as_a_whole(problem: Mapping[str, Any]) -> bool:
    """Whether the body is not an object at all, rather than one with a wrong member."""
    is_object = problem["type"] in _OF_AN_OBJECT
    return problem["type"] == "json_invalid" or (problem["loc"] == ("body",) and not is_object)


def _not_json() -> JSONResponse:
    message = "The body is not a JSON object: send one such as"
    example = '{"prompt": "…"} with Content-Type: application/json.'
    return answer(422, "invalid_json", f"{message} {example}")


async def _too_large(_request: Request, _: Exception) -> JSONResponse:
    message = "The prompt is too large to be stored: control characters and quotes count manifold."
    return answer(413, "prompt_too_large", f"{message} Shorten it.")


async def _not_found(_request: Request, _: Exception) -> JSONResponse:
    message = "There is no such stream, or it has expired: create one with POST /streams."
    return answer(404, "stream_not_found", message)


async def _bad_cursor(_: Request, error: Exception) -> JSONResponse:
    return answer(400, "bad_cursor", _sentence(error))


async def _key_reused(_: Request, error: Exception) -> JSONResponse:
    return answer(422, "idempotency_key_reused", _sentence(error))


async def _unauthorized(_request: Request, _: Exception) -> JSONResponse:
    message = "This needs an API token, sent as Authorization: Bearer <token>"
    advice = "or, to read a stream that exists, the address that it was created with."
    return answer(401, "unauthorized", f"{message}; {advice}", _BEARER)


async def _token_expired(_request: Request, _: Exception) -> JSONResponse:
    message = "The token in this address has expired, and the stream with it: create a new one."
    return answer(401, "token_expired", message, _BEARER)


async def _limit_exceeded(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LimitExceeded)
    metrics.refused(error.code)
    return answer(429, error.code, error.message, {"Retry-After": str(error.retry_after)})


async def _beyond_budget(_: Request, error: Exception) -> JSONResponse:
    return answer(422, "beyond_budget", _sentence(error))


async def _secret_failed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SecretError)
    metrics.failed(error.code)
    if isinstance(error, SecretUnavailable):
        message = "Who may do what cannot be found out right now. Send the same request again."
        return answer(503, error.code, message, {"Retry-After": "2"})
    message = "The API tokens are not set up: the operator finds the reason in the function's log."
    return answer(500, error.code, message)


async def _log_failed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LogError)
    logger.error("the log failed", exc_info=error)
    metrics.failed(error.code)
    if isinstance(error, LogUnavailable):
        message = "The event log does not answer right now. Send the same request again."
        return answer(503, error.code, message, {"Retry-After": "2"})
    if isinstance(error, NoTable):
        message = "There is no table here, for `sam local` makes none: use `make sam-local`."
        return answer(500, error.code, message)
    message = "The event log is not set up: the operator finds the reason in the function's log."
    return answer(500, error.code, message)


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == _UNPARSABLE:
        return _not_json()
    code = _CODES.get(error.status_code, "http_error")
    message = f"{error.detail}. GET /openapi.json lists what there is."
    return answer(error.status_code, code, message, error.headers)


class UnexpectedErrors:
    """ASGI middleware: what nobody has foreseen is answered, and raised again for the runtime.

    Starlette's own handler for such errors stands outside of all middleware, so that its answers
    would lack the headers that others have.
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
                await answer(500, code, message)(scope, receive, send)
            raise


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
