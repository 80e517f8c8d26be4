"""The deployed application's wire, as far as the probe speaks it."""

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
    """What the application says of itself."""

    provider: str
    access: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A deployment to probe. Every answer but a stream of events has `patience` seconds.

    Methods raise ProbeFailed when the deployment does not answer as it should.
    """

    site: Site
    prompt: str
    patience: float
    token: str | None = field(default=None, repr=False)

    async def health(self, connection: Connection) -> Health:
        """Ask whether it is alive; nothing is looked up for that."""
        body = await self._json(connection, "GET", f"{self.site.base}/healthz", _OK)
        return Health(str(body.get("provider", "?")), str(body.get("access", "open")))

    async def create(self, max_tokens: int) -> Stream:
        """A new stream that nobody has read yet: its first reader starts it."""
        request = json.dumps({"prompt": self.prompt, "max_tokens": max_tokens}).encode()
        async with connect(self.site) as connection:
            target = f"{self.site.base}/streams"
            created = await self._json(connection, "POST", target, _CREATED, request)
        return Stream(created["events_url"], created["url"])

    async def read(self, connection: Connection, stream: Stream, last_event_id: str = "") -> None:
        """Begin to read a stream's events, or what follows the last one received.

        Raises what BROKEN names, too. There is no deadline: a path that holds everything back gives
        not even a head before the answer's end.
        """
        headers = {"Accept": "text/event-stream"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        status = await connection.request("GET", stream.events, headers)
        if status != _OK:
            raise ProbeFailed(f"the events were answered {status}, not {_OK}")

    async def written(self, connection: Connection, stream: Stream) -> int:
        """How far the log has come, as a sandbox that does not write it finds it."""
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
        what = f"{method} {target.partition('?')[0]}"
        try:
            async with asyncio.timeout(self.patience):
                status = await connection.request(method, target, headers, body)
                text = await connection.body()
        except TimeoutError:
            raise ProbeFailed(f"{what}: no answer within {self.patience:g} s") from None
        except BROKEN as error:
            raise ProbeFailed(f"{what}: the connection broke ({error})") from error
        if status == _UNAUTHORIZED:
            raise ProbeFailed("the deployment asks for an API token: set API_TOKEN or --token")
        if status != expected:
            raise ProbeFailed(f"{what}: answered {status}: {text[:300].decode(errors='replace')}")
        try:
            answer: dict[str, Any] = json.loads(text)
        except ValueError:
            raise ProbeFailed(f"{what}: answered something else; is this the right URL?") from None
        return answer
