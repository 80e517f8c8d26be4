"""Judges the measurements, and says what to do."""

import enum
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median_high

from probe.measurements import Measurements, Streaming

# A verdict needs so many samples. One sample with late events may be a short network delay.
_FEWEST_SAMPLES = 4
_TOLERATED_SAMPLES = 1

# A part of the path may also count the framing of chunks, which the probe does not see.
_MARGIN = 1.125
_PADDING_STEP = 1024
# Reports of paths that hold bytes back name about 16 kB and about 100 kB.
_MOST_PADDING = 100 * 1024


class Path(enum.Enum):
    """The behaviour of the path from the function to here.

    * **STREAMS** - events arrive as they are written.
    * **HOLDS** - events arrive in bursts, once enough bytes have accumulated.
    * **BUFFERS** - events arrive at the end of the answer.
    * **STEPS** - several responses arrive, each in one piece: the application knows that it cannot
      stream here.
    * **UNCLEAR** - the answer was too short for a verdict.
    """

    STREAMS = enum.auto()
    HOLDS = enum.auto()
    BUFFERS = enum.auto()
    STEPS = enum.auto()
    UNCLEAR = enum.auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """`good` if nothing needs to change; `padding` is the EventPaddingBytes that should help."""

    path: Path
    padding: int | None
    sentences: Sequence[str]
    good: bool


def judge(measurements: Measurements) -> Verdict:
    """Judge the path, and describe every fault."""
    streaming = measurements.streaming
    path = _path(streaming)
    padding = _padding(streaming) if path is Path.HOLDS else None
    faults = [*_unended(measurements), *_inexact(measurements)]
    return Verdict(
        path,
        padding,
        [_SENTENCES[path](streaming), *faults],
        good=path is Path.STREAMS and not faults,
    )


def _path(streaming: Streaming) -> Path:
    whole = all(burst.last for burst in streaming.bursts())
    if whole and streaming.responses > 1:
        return Path.STEPS
    if len(streaming.useful_samples) < _FEWEST_SAMPLES:
        return Path.UNCLEAR
    if streaming.backlog().samples <= _TOLERATED_SAMPLES:
        return Path.STREAMS
    return Path.BUFFERS if whole else Path.HOLDS


def _held_bytes(streaming: Streaming) -> int:
    """Return the number of bytes that must accumulate before any arrive.

    The last burst of a response is ignored, since its end flushes it. The higher median is used,
    since a path may pass the first bytes at once.
    """
    return median_high(burst.size for burst in streaming.bursts() if not burst.last)


def _padding(streaming: Streaming) -> int:
    return math.ceil(_held_bytes(streaming) * _MARGIN / _PADDING_STEP) * _PADDING_STEP


def _streams(_: Streaming) -> str:
    return "This path streams: events arrive as soon as they are in the event log."


def _holds(streaming: Streaming) -> str:
    return (
        f"This path holds small chunks back: events arrive once about {_held_bytes(streaming):,} "
        f"bytes have accumulated, and were up to {streaming.backlog().seconds:.1f} s late. Deploy "
        f"with EventPaddingBytes={_padding(streaming)}, then probe again."
    )


def _buffers(streaming: Streaming) -> str:
    return (
        f"This path buffers: all {streaming.size:,} bytes arrived after the end of the answer, up "
        f"to {streaming.backlog().seconds:.1f} s late. Either a part of the path cannot stream "
        "(the function URL's InvokeMode and the API's ResponseTransferMode must be "
        "RESPONSE_STREAM; a proxy may buffer), or the answer was too small to be passed on. Deploy "
        f"with EventPaddingBytes={_MOST_PADDING}, then probe again."
    )


def _steps(streaming: Streaming) -> str:
    return (
        f"This path cannot stream: {streaming.responses} responses arrived, each in one piece. Use "
        "the function URL, or a REST API whose integration streams."
    )


def _unclear(streaming: Streaming) -> str:
    return (
        f"The answer ended after {len(streaming.useful_samples)} samples of the event log, which "
        "is too soon for a verdict. Probe again with a longer answer (--prompt, --max-tokens)."
    )


_SENTENCES = {
    Path.STREAMS: _streams,
    Path.HOLDS: _holds,
    Path.BUFFERS: _buffers,
    Path.STEPS: _steps,
    Path.UNCLEAR: _unclear,
}


def _unended(measurements: Measurements) -> Iterator[str]:
    if not measurements.streaming.ended:
        yield "The response did not end after the answer's last event: clients must close it."
    for ending in measurements.endings:
        if ending.seconds is None:
            status = "no status" if ending.status is None else f"status {ending.status}"
            yield (
                f"A response did not end ({ending.name}; {status}): its client waits until the "
                "function's timeout. Report it with the headers that this path adds."
            )
        elif ending.reused is False:
            yield f"A connection could not be used again after a response ({ending.name})."


def _inexact(measurements: Measurements) -> Iterator[str]:
    if not measurements.resumption.exact:
        yield "An answer that was cut and resumed differs from the same answer read in one piece."
