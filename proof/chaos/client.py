"""A careful client: while a failure is temporary, it asks the functions again in turn."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import httpx

from tests.event_stream import Decoder

# A function URL's answer for a sandbox that ended before its own answer had begun.
PLATFORM_STATUS, PLATFORM_BODY = httpx.codes.BAD_GATEWAY, "Internal Server Error"
# The application's answer while its log does not answer; an EventSource gets one without events.
_LOG_IS_OUT = '{"error":{"code":"log_unavailable"'
_PAUSE = 0.5
# Longer than a freeze, after which the other function answers, and longer than a long outage.
_PATIENCE = 90.0


class NoAnswer(Exception):
    """Raised when no function has answered for too long."""


@dataclass(frozen=True)
class Client:
    """Asks `functions` in turn. `note` is told of each answer that is not final."""

    http: httpx.AsyncClient
    functions: Sequence[str]
    note: Callable[[str], None]

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        nth: int = 0,
        seconds: float,
    ) -> httpx.Response:
        """The application's answer; the nth function is asked first, and `seconds` bound a try.

        Raises:
            NoAnswer: there is none in 90 s.
        """
        functions = [self.functions[(nth + each) % len(self.functions)] for each in (0, 1)]
        try:
            async with asyncio.timeout(_PATIENCE):
                for function in cycle(functions):
                    request = self.http.build_request(
                        method, f"{function}{path}", json=body, headers=headers, timeout=seconds
                    )
                    answer = await self._try(request)
                    if answer is not None:
                        return answer
        except TimeoutError:
            pass
        raise NoAnswer(f"{method} {path}: nobody has answered within {_PATIENCE:.0f} s")

    async def _try(self, request: httpx.Request) -> httpx.Response | None:
        """The answer; None, after a pause, if the client is to ask again."""
        try:
            answer = await self.http.send(request)
        except httpx.TransportError as error:
            self.note(f"{request.method} {request.url.path}: {type(error).__name__}")
            await asyncio.sleep(_PAUSE)
            return None
        pause = _pause_behind(answer)
        if pause is None:
            return answer
        self.note(f"{request.method} {request.url.path}: {answer.status_code}, again")
        await asyncio.sleep(pause)
        return None


def is_the_platforms(status: int, body: str) -> bool:
    """Return True when the answer is the platform's; a cut may have shortened the body.

    Nothing else is forgiven: there is always a sandbox to be had, so that a 429 is a mistake too.
    """
    return status == PLATFORM_STATUS and PLATFORM_BODY.startswith(body)


def is_of_the_log(status: int, body: str) -> bool:
    """Return True when the application answers that its log is out; a cut may shorten it."""
    says_so = body.startswith(_LOG_IS_OUT) or _LOG_IS_OUT.startswith(body)
    return status == httpx.codes.SERVICE_UNAVAILABLE and says_so


def _pause_behind(answer: httpx.Response) -> float | None:
    """The seconds until the next try, if the failure is temporary; else None."""
    if is_the_platforms(answer.status_code, answer.text):
        return _PAUSE
    if answer.request.method == "POST":
        return _retry_after(answer)
    if answer.status_code == httpx.codes.OK and not any(Decoder().feed(answer.content)):
        return _PAUSE
    return None


def _retry_after(answer: httpx.Response) -> float | None:
    """The Retry-After of a 503 that is the application's own, and about its log; else None."""
    retry_after = answer.headers.get("Retry-After", "")
    of_the_log = is_of_the_log(answer.status_code, answer.text)
    return float(retry_after) if of_the_log and retry_after.isdigit() else None
