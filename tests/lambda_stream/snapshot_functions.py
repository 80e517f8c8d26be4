"""The handlers for test_snapshot.py, under our runtime and under the stock one."""

import asyncio
import os
import random
import ssl
from typing import Any

from snapshot_restore_py import (  # type: ignore[import-untyped]
    register_after_restore,
    register_before_snapshot,
)

from lambda_stream import Adapter

random.seed(1)
from_the_seed = random.Random(1).random()  # noqa: S311 - it is compared, not kept secret


# What OpenSSL's generator is given; its state cannot be read.
given: list[tuple[int, float]] = []
add = ssl.RAND_add


def seed(data: Any, entropy: float) -> None:
    given.append((len(data), entropy))
    add(data, entropy)


ssl.RAND_add = seed


def say(*words: str) -> None:
    print(*words)  # noqa: T201 - the tests read it


def fail_at(moment: str) -> None:
    if os.environ.get("FAIL") == moment:
        raise ValueError(f"failed {moment}")


async def prime() -> None:
    say("an event loop runs in a hook")


register_before_snapshot(say, "before,", "registered first")
register_before_snapshot(lambda: asyncio.run(prime()))
register_before_snapshot(fail_at, "before")
register_before_snapshot(say, "before,", "registered last")
register_after_restore(say, "after,", "registered first")
register_after_restore(fail_at, "after")
register_after_restore(say, "after,", "registered last")
say("imported")


def plain(event: Any, _context: Any) -> Any:
    drawn = random.random()  # noqa: S311
    return {"event": event, "drawn": drawn, "from_the_seed": from_the_seed, "given": given}


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        say("startup")
        if os.environ.get("FAIL") == "startup":
            await send({"type": "lifespan.startup.failed", "message": "failed at startup"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for word in (b"one ", b"two ", b"three"):
        await send({"type": "http.response.body", "body": word, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


adapter = Adapter(application)
