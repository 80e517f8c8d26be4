"""Snapshots: a response as far as it has come, from a stream's history."""

from dataclasses import replace

from app.wires.openai.echo import Echo
from app.wires.openai.rendering import VERSIONS
from app.wires.rendering import Json, of_start
from durable_stream import History, Record, Start


def snapshot(history: History, echo: Echo) -> Json:
    """The response. What says nothing is not in a history, nor does it change a response."""
    newest = history.newest
    start = replace(newest, seq=0, event=history.start, at=history.created_at)
    events = [*history.log, *([newest.event] if newest.terminal else [])]
    rendering = of_start(VERSIONS, start)
    for seq, event in enumerate([history.start, *events]):
        rendering.render(replace(start, seq=seq, event=event))
    return echo.added_to({**rendering.snapshot(), **_queued(newest)})


def begun(start: Record, echo: Echo) -> Json:
    """The response whose stream has only a start."""
    rendering = of_start(VERSIONS, start)
    rendering.render(start)
    return echo.added_to({**rendering.snapshot(), **_queued(start)})


def _queued(newest: Record) -> Json:
    """The status of a stream that waits for its first reader."""
    waits = isinstance(newest.event, Start) and not newest.writer
    return {"status": "queued"} if waits else {}
