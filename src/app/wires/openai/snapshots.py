"""Snapshots: a response as far as it has come, from a stream's history."""

from collections.abc import Sequence

from app.wires.openai.echo import Echo
from app.wires.openai.rendering import VERSIONS, ResponseRendering
from app.wires.rendering import Json, of_start, records_of
from durable_stream import History, Record, Start


def snapshot(history: History, echo: Echo) -> Json:
    """The response."""
    rendering = rendered(records_of(history))
    return echo.added_to({**rendering.snapshot(), **_queued(history.newest)})


def begun(start: Record, echo: Echo) -> Json:
    """The response whose stream has only a start."""
    return echo.added_to({**rendered([start]).snapshot(), **_queued(start)})


def rendered(records: Sequence[Record]) -> ResponseRendering:
    """The rendering behind these records of a stream."""
    rendering = of_start(VERSIONS, records[0])
    for record in records:
        rendering.render(record)
    return rendering


def _queued(newest: Record) -> Json:
    """The status of a stream that waits for its first reader."""
    waits = isinstance(newest.event, Start) and not newest.writer
    return {"status": "queued"} if waits else {}
