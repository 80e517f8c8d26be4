"""The function for test_snapshot.py: it reports what it found before the snapshot, and after it.

A real one draws and connects after the restore only. This one also does so before.
"""

import asyncio
import json
import os
import random
import secrets
import socket
import time
from typing import Any

from snapshot_restore_py import (  # type: ignore[import-untyped]
    register_after_restore,
    register_before_snapshot,
)

from lambda_stream import Adapter

host, port = os.environ["PEER"].split(":")
connection = socket.create_connection((host, int(port)))
before = {
    "secret": secrets.token_hex(),
    "random": random.random(),  # noqa: S311 - compared, not kept secret
    "monotonic": time.monotonic(),
    "time": time.time(),
}
after: dict[str, Any] = {}


def fail_at(moment: str) -> None:
    if os.environ.get("FAIL") == moment:
        raise ValueError(f"failed {moment}")


def look() -> None:
    """Note the first moment after the restore."""
    connection.settimeout(10)
    after["monotonic"], after["time"] = time.monotonic(), time.time()
    after["received"] = len(connection.recv(1))


def hang() -> None:
    if os.environ.get("FAIL") == "late":
        time.sleep(60)


register_before_snapshot(fail_at, "before")
register_after_restore(look)
register_after_restore(fail_at, "after")
register_after_restore(hang)


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    jitter = [random.random() for _ in range(5)]  # noqa: S311 - likewise
    own = {"secret": secrets.token_hex(), "jitter": jitter, "pid": os.getpid()}
    # A thread that wakes the event loop, and a timer: they need what a fork would share.
    own["woken"] = await asyncio.to_thread(lambda: True)
    await asyncio.sleep(0.01)
    body = json.dumps({"before": before, "after": after, "own": own}).encode()
    for each in body:
        await send({"type": "http.response.body", "body": bytes([each]), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def lifespan(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


handler = Adapter(application)
