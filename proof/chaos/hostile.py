"""Requests that no honest client makes: each must be refused, and nothing resumed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import quote

from proof.chaos.client import Client

_SECONDS = 7.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request for a stream's events, and the answer that it must get."""

    path: str
    answer: HTTPStatus
    cursor: str = ""
    headers: dict[str, str] = field(default_factory=dict)


async def be_hostile(client: Client, stream_id: str, seed: int) -> list[str]:
    """Ask for a stream that is under way, and return the wrong answers."""
    chance = random.Random(seed)  # noqa: S311 - it must be repeatable
    created = await client.ask("POST", "/streams", body={"prompt": "another"}, seconds=_SECONDS)
    other = str(created.json()["id"])
    unknown = stream_id[::-1]
    cursors = [*_cursors(stream_id, chance), f"{other}:0", f"{other}:0:end", f"{unknown}:2"]
    attempts = [_resuming(stream_id, cursor, HTTPStatus.BAD_REQUEST) for cursor in cursors]
    attempts += [_by_query(stream_id, cursor, HTTPStatus.BAD_REQUEST) for cursor in cursors]
    attempts += [_resuming(unknown, f"{unknown}:0", HTTPStatus.NOT_FOUND), _sse("garbage")]
    return await _asked(client, attempts)


async def be_late(client: Client, last_event_id: str) -> list[str]:
    """Ask for events after a stream's end, and return the wrong answers."""
    stream_id, seq, _ = last_event_id.split(":")
    beyond = f"{stream_id}:{int(seq) + 1}"
    attempts = [
        way(stream_id, cursor, answer)
        for way in (_resuming, _by_query)
        for cursor, answer in (
            (last_event_id, HTTPStatus.NO_CONTENT),
            (f"{stream_id}:{seq}", HTTPStatus.NO_CONTENT),
            (beyond, HTTPStatus.BAD_REQUEST),
        )
    ]
    return await _asked(client, attempts)


async def _asked(client: Client, attempts: list[Attempt]) -> list[str]:
    wrong = []
    for each in attempts:
        answer = await client.ask("GET", each.path, headers=each.headers, seconds=_SECONDS)
        if answer.status_code != each.answer:
            what = f"cursor {each.cursor!r}: {answer.status_code}"
            wrong.append(f"{what} {answer.text[:200]}, not {each.answer}")
    return wrong


def _resuming(stream_id: str, cursor: str, answer: HTTPStatus) -> Attempt:
    return Attempt(f"/streams/{stream_id}/events", answer, cursor, {"Last-Event-ID": cursor})


def _by_query(stream_id: str, cursor: str, answer: HTTPStatus) -> Attempt:
    path = f"/streams/{stream_id}/events?last_event_id={quote(cursor)}"
    return Attempt(path, answer, cursor)


def _sse(cursor: str) -> Attempt:
    return Attempt("/sse?prompt=another", HTTPStatus.BAD_REQUEST, cursor, {"Last-Event-ID": cursor})


def _cursors(own: str, chance: random.Random) -> Iterator[str]:
    yield from ("garbage", "-1")
    for position in ("-1", "01", "1e3", str(10**17), str(10**40), "2:3", " 2", "2:END"):
        yield f"{own}:{position}"
    yield f"{own}:{chance.randrange(10**6, 10**9)}"
