"""Renders the measurements as a table, one figure a line."""

from collections.abc import Iterator, Sequence
from statistics import median

from probe.measurements import Ending, Measurements, Resumption, Streaming


def render(measurements: Measurements) -> str:
    """Return the table as plain text."""
    rows = list(_rows(measurements))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name.ljust(width)}  {value}" for name, value in rows)


def _rows(measurements: Measurements) -> Iterator[tuple[str, str]]:
    first, *others = measurements.round_trips
    yield "first round trip", _milliseconds(first)
    yield "round trip", _milliseconds(median(others))
    yield from _streaming_rows(measurements.streaming)
    for ending in measurements.endings:
        yield ending.name, _ending(ending)
    yield "cut and resumed", _resumption(measurements.resumption)


def _streaming_rows(streaming: Streaming) -> Iterator[tuple[str, str]]:
    backlog = streaming.backlog()
    bursts = [burst.size for burst in streaming.bursts()]
    yield "first byte of an answer", _milliseconds(streaming.first_byte)
    middle, total = f"{streaming.event_size:,.0f}", f"{streaming.size:,}"
    yield "events", f"{len(streaming.arrivals)}, median {middle} bytes; {total} bytes in total"
    yield "responses", f"{streaming.responses}"
    yield (
        "arrived in",
        f"{len(bursts)} bursts of {_spread(bursts)} bytes, {_spaced(streaming.gaps)}",
    )
    samples = f"{backlog.samples} of {len(streaming.useful_samples)} samples"
    worst = f"{backlog.events} events, {backlog.size:,} bytes at most"
    yield "held back", f"{worst}; in {samples} of the event log"
    yield "largest delay", f"{_milliseconds(backlog.seconds)} after it was seen in the event log"
    beats = streaming.heartbeats
    yield (
        "heartbeats",
        f"{len(beats)}, {_spaced(beats)}" if beats else "none: the model was not silent",
    )


def _ending(ending: Ending) -> str:
    status = "no status" if ending.status is None else str(ending.status)
    if ending.seconds is None:
        return f"{status}, did not end in time"
    reused = {True: "connection reused", False: "connection unusable", None: "connection closed"}
    return f"{status}, ended after {_milliseconds(ending.seconds)}, {reused[ending.reused]}"


def _resumption(resumption: Resumption) -> str:
    exact = "exact" if resumption.exact else "NOT EXACT"
    return f"{exact}: {len(resumption.before)} events, then {len(resumption.after)}"


def _spread(sizes: Sequence[int]) -> str:
    return f"{min(sizes):,} to {max(sizes):,}, median {median(sizes):,.0f}"


def _spaced(seconds: Sequence[float]) -> str:
    if not seconds:
        return "all at once"
    return f"median {_milliseconds(median(seconds))} apart, {_milliseconds(max(seconds))} at most"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"
