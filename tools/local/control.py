"""The control page, the strip on the chat page, and their API under `/_local`.

They kill, freeze and thaw sandboxes, and drop connections. The API serves its own pages and
programs. It refuses requests from other origins, and its page cannot be shown in a frame, so that a
page of another site cannot use its buttons.
"""

import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

from local.exceptions import Refused
from local.http1 import Connection, Request
from local.invocation import Invocation
from local.pool import Pool
from local.sandbox import Sandbox, State
from local.writers import Writers, ask_writers

PREFIX = "/_local"
FOLDER = Path(__file__).parent
# The files by their paths below the prefix.
FILES = {
    "": ("control.html", "text/html; charset=utf-8"),
    "strip.css": ("strip.css", "text/css; charset=utf-8"),
    "strip.js": ("strip.js", "text/javascript; charset=utf-8"),
}
FILE_HEADERS = (
    ("cache-control", "no-store"),
    ("content-security-policy", "frame-ancestors 'none'"),
    ("x-frame-options", "DENY"),
)
# `Sec-Fetch-Site` of a request from the same origin, and of an address that a user typed.
OWN_SITES = frozenset({"same-origin", "none"})


def is_control(path: str) -> bool:
    """Return True if a path belongs to the emulator, not to the function."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


class Control:
    """Serves the control page and its API."""

    def __init__(self, pool: Pool, dynamodb_url: str) -> None:
        self._pool = pool
        self._dynamodb_url = dynamodb_url

    async def __call__(self, connection: Connection, request: Request) -> None:
        """Answer one request."""
        path = request.path.removeprefix(PREFIX).strip("/")
        if request.method == "GET" and path in FILES:
            name, media_type = FILES[path]
            content = (FOLDER / name).read_bytes()
            await connection.respond(HTTPStatus.OK, media_type, content, FILE_HEADERS)
            return
        try:
            _refuse_foreign(request)
            await connection.respond_json(HTTPStatus.OK, await self._answer(request.method, path))
        except Refused as refusal:
            error = {"code": refusal.error_type, "message": str(refusal)}
            await connection.respond_json(refusal.status, {"error": error})

    async def _answer(self, method: str, path: str) -> object:
        match [method, *path.split("/")]:
            case ["GET", "sandboxes"]:
                return [_sandbox(sandbox) for sandbox in self._pool.sandboxes]
            case ["GET", "streams", stream_id]:
                writers = await ask_writers(self._dynamodb_url, stream_id)
                return {
                    "writer_known": writers is not None,
                    "sandboxes": [
                        {**_sandbox(each), "role": _role(each, stream_id, writers or Writers())}
                        for each in self._pool.sandboxes
                    ],
                }
            case ["POST", "sandboxes", name, "kill"]:
                sandbox = self._find_sandbox(name, unless={State.DEAD})
                sandbox.kill()
            case ["POST", "sandboxes", name, "freeze"]:
                sandbox = self._find_sandbox(name, unless={State.DEAD, State.FROZEN})
                sandbox.freeze()
            case ["POST", "sandboxes", name, "thaw"]:
                sandbox = self._find_sandbox(name, unless=set(State) - {State.FROZEN})
                sandbox.thaw()
            case ["POST", "invocations", request_id, "drop"]:
                invocation = self._find_invocation(request_id)
                invocation.client.cut()
                return _invocation(invocation)
            case _:
                message = f"there is no such route: see {PREFIX}"
                raise Refused(HTTPStatus.NOT_FOUND, "unknown_route", message)
        return _sandbox(sandbox)

    def _find_sandbox(self, name: str, unless: set[State]) -> Sandbox:
        for sandbox in self._pool.sandboxes:
            if sandbox.name == name and sandbox.state not in unless:
                return sandbox
            if sandbox.name == name:
                raise Refused(HTTPStatus.CONFLICT, "wrong_state", f"{name} is {sandbox.state}")
        raise Refused(HTTPStatus.NOT_FOUND, "unknown_sandbox", f"there is no {name}")

    def _find_invocation(self, request_id: str) -> Invocation:
        for sandbox in self._pool.sandboxes:
            for invocation in sandbox.invocations:
                if invocation.request_id != request_id:
                    continue
                if invocation.client.connected:
                    return invocation
                message = "its client has already disconnected"
                raise Refused(HTTPStatus.CONFLICT, "client_gone", message)
        message = f"no invocation {request_id} is running"
        raise Refused(HTTPStatus.NOT_FOUND, "unknown_invocation", message)


def _refuse_foreign(request: Request) -> None:
    """Refuse a request from a page of another origin."""
    if _is_foreign(request):
        message = f"pages of another origin may not use this API: open {PREFIX} itself"
        raise Refused(HTTPStatus.FORBIDDEN, "foreign_origin", message)


def _is_foreign(request: Request) -> bool:
    """Return True if a page of another origin sent this request.

    Browsers send `Sec-Fetch-Site` to loopback addresses and over TLS. Elsewhere `Origin` names the
    page. A program sends neither.
    """
    if site := request.header("sec-fetch-site"):
        return site not in OWN_SITES
    origin = request.header("origin")
    return bool(origin) and origin != f"http://{request.header('host')}"


def _sandbox(sandbox: Sandbox) -> dict[str, Any]:
    return {
        "name": sandbox.name,
        "pid": sandbox.pid,
        "state": sandbox.state,
        "invocations": [_invocation(invocation) for invocation in sandbox.invocations],
    }


def _role(sandbox: Sandbox, stream_id: str, writers: Writers) -> str | None:
    """Return the role of a sandbox in a stream: "writes", "reads", "wrote" before, or None.

    A sandbox that has no invocation, or is dead, cannot write, even if its record is the newest.
    """
    active = bool(sandbox.invocations) and sandbox.state is not State.DEAD
    if active and writers.writing and writers.ids[-1:] == (sandbox.id,):
        return "writes"
    path = f"/streams/{stream_id}/events"
    if sandbox.state is State.BUSY and any(
        each.request.path == path for each in sandbox.invocations
    ):
        return "reads"
    return "wrote" if sandbox.id in writers.ids else None


def _invocation(invocation: Invocation) -> dict[str, Any]:
    return {
        "request_id": invocation.request_id,
        "method": invocation.request.method,
        "path": invocation.request.path,
        "query": invocation.request.query,
        "elapsed_ms": round((time.monotonic() - invocation.accepted_at) * 1000),
        "client_connected": invocation.client.connected,
    }
