"""Cursors that no honest client has: each must be refused, none resumed."""

import random
from collections.abc import Iterator

import httpx

from chaos.client import Client

_SECONDS = 7.0


async def be_hostile(client: Client, stream_id: str, seed: int) -> list[str]:
    """Ask for a stream with each of them; what was wrong about the answers."""
    wrong = []
    for cursor in _cursors(stream_id, random.Random(seed)):  # noqa: S311 - it must be repeatable
        answer = await client.ask(
            "GET",
            f"/streams/{stream_id}/events",
            headers={"Last-Event-ID": cursor},
            seconds=_SECONDS,
        )
        if answer.status_code != httpx.codes.BAD_REQUEST:
            wrong.append(f"cursor {cursor!r}: {answer.status_code} {answer.text[:200]}")
    return wrong


def _cursors(own: str, chance: random.Random) -> Iterator[str]:
    yield from ("garbage", "-1")
    for position in ("-1", "01", "1e3", str(10**17), str(10**40), "2:3", " 2"):
        yield f"{own}:{position}"
    yield f"{own}:{chance.randrange(10**6, 10**9)}"
    yield f"{own[::-1]}:2"
