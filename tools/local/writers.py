"""The sandboxes that wrote each stream, as the emulator's own DynamoDB sees it.

The writer's name in a record is drawn by the process, so it does not name a sandbox. But each
sandbox has an id of its own in AWS_SDK_UA_APP_ID, which every AWS SDK sends with every request. So
the table sees which sandbox puts a record. Another DynamoDB does not keep this.
"""

import asyncio
import io
import json
import re
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

WsgiApp: TypeAlias = Callable[..., Iterable[bytes]]

PREFIX = "/_local/streams/"
PUT = "DynamoDB_20120810.PutItem"
CALL_LIMIT = 2.0
# The app id is one part of the User-Agent.
SENDER = re.compile(r"\bapp/([0-9a-f]{32})\b")
# Behind a record of these kinds there is no writer. The first three end the stream. The emulator
# does not know a terminal kind of your own: its writer counts as writing while it is busy.
LAST_KINDS = frozenset({"done", "error", "cancelled", "handoff"})


@dataclass(frozen=True)
class Writers:
    """The ids of the sandboxes that wrote a stream, in order.

    `writing` is True if the last one has neither ended the stream nor handed it over.
    """

    ids: tuple[str, ...] = ()
    writing: bool = False

    def after(self, kind: str, sandbox: str) -> "Writers":
        """Return the writers after this sandbox has put a record of this kind."""
        if kind in LAST_KINDS:  # a reader may have put it, to cancel the stream or to give it up
            return Writers(self.ids, writing=False)
        if self.ids[-1:] == (sandbox,):
            return Writers(self.ids, writing=True)
        return Writers((*self.ids, sandbox), writing=True)


class NotesWriters:
    """A WSGI application around DynamoDB that notes the writers, and tells them below PREFIX."""

    def __init__(self, application: WsgiApp) -> None:
        self._application = application
        self._streams: dict[str, Writers] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        path = environ.get("PATH_INFO", "")
        if path.startswith(PREFIX):
            return self._tell(path.removeprefix(PREFIX), start_response)
        sender = SENDER.search(environ.get("HTTP_USER_AGENT", ""))
        if sender is None or environ.get("HTTP_X_AMZ_TARGET") != PUT:
            return self._application(environ, start_response)
        return self._put(sender[1], environ, start_response)

    def _tell(self, stream_id: str, start_response: Any) -> list[bytes]:
        writers = self._streams.get(stream_id, Writers())
        body = json.dumps({"ids": writers.ids, "writing": writers.writing}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]

    def _put(self, sandbox: str, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)

        def starting(status: str, *more: Any) -> Any:
            if status.startswith("200"):
                self._note(sandbox, json.loads(body)["Item"])
            return start_response(status, *more)

        return self._application(environ, starting)

    def _note(self, sandbox: str, item: dict[str, Any]) -> None:
        match item:
            # A `start` without a writer waits for one.
            case {"stream_id": {"S": stream_id}, "kind": {"S": kind}, "writer": {"S": writer}} if (
                writer
            ):
                known = self._streams.get(stream_id, Writers())
                self._streams[stream_id] = known.after(kind, sandbox)


async def ask_writers(dynamodb_url: str, stream_id: str) -> Writers | None:
    """Ask the DynamoDB for the writers of a stream; None if it does not know them."""
    return await asyncio.to_thread(_ask, dynamodb_url, stream_id)


def _ask(dynamodb_url: str, stream_id: str) -> Writers | None:
    host = urlsplit(dynamodb_url).netloc
    try:
        with closing(HTTPConnection(host, timeout=CALL_LIMIT)) as connection:
            connection.request("GET", PREFIX + quote(stream_id, safe=""))
            response = connection.getresponse()
            if response.status != HTTPStatus.OK:
                return None
            answer = json.loads(response.read())
            return Writers(tuple(answer["ids"]), bool(answer["writing"]))
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return None
