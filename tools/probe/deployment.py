"""The routes of the deployed application that the probe uses."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from probe.connection import BROKEN, Connection, Site, connect
from probe.events import position
from probe.exceptions import ProbeFailed

_OK = 200
_CREATED = 201
_UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True)
class Stream:
    """A created stream: the request targets of its events and of its snapshot."""

    events: str
    snapshot: str


@dataclass(frozen=True, slots=True)
class Health:
    """The response of /healthz."""

    provider: str
    access: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A deployment to probe; `patience` is the time limit of every response but a stream.

    Methods raise ProbeFailed on an unexpected response.
    """

    site: Site
    prompt: str
    patience: float
    token: str | None = field(default=None, repr=False)

    async def health(self, connection: Connection) -> Health:
        """Request /healthz, which reads nothing from the store."""
        body = await self._json(connection, "GET", f"{self.site.base}/healthz", _OK)
        return Health(str(body.get("provider", "?")), str(body.get("access", "open")))

    async def create(self, max_tokens: int) -> Stream:
        """Create a stream; its first reader starts the producer."""
        request = json.dumps({"prompt": self.prompt, "max_tokens": max_tokens}).encode()
        async with connect(self.site) as connection:
            target = f"{self.site.base}/streams"
            created = await self._json(connection, "POST", target, _CREATED, request)
        return Stream(created["events_url"], created["url"])

    async def read(self, connection: Connection, stream: Stream, last_event_id: str = "") -> None:
        """Request a stream's events, from the beginning or after the last one received.

        Also raises an error of BROKEN. There is no time limit: a path that buffers sends not even
        a head before the end of the answer.
        """
        headers = {"Accept": "text/event-stream"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        status = await connection.request("GET", stream.events, headers)
        if status != _OK:
            raise ProbeFailed(f"the request for events got status {status} instead of {_OK}")

    async def written(self, connection: Connection, stream: Stream) -> int:
        """Return the last position in the event log, read through another sandbox."""
        snapshot = await self._json(connection, "GET", stream.snapshot, _OK)
        return position(snapshot["last_event_id"])

    async def _json(
        self, connection: Connection, method: str, target: str, expected: int, body: bytes = b""
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/json"
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        request = f"{method} {target.partition('?')[0]}"
        try:
            async with asyncio.timeout(self.patience):
                status = await connection.request(method, target, headers, body)
                text = await connection.body()
        except TimeoutError:
            raise ProbeFailed(f"{request}: no response within {self.patience:g} s") from None
        except BROKEN as error:
            raise ProbeFailed(f"{request}: the connection broke ({error})") from error
        if status == _UNAUTHORIZED:
            raise ProbeFailed("the deployment requires an API token: set API_TOKEN or --token")
        if status != expected:
            excerpt = text[:300].decode(errors="replace")
            raise ProbeFailed(f"{request}: got status {status}: {excerpt}")
        try:
            answer: dict[str, Any] = json.loads(text)
        except ValueError:
            raise ProbeFailed(f"{request}: the response is not JSON: check the URL") from None
        return answer
