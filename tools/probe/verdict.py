"""What the measurements mean, in words, and what to do about it."""

import enum
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median_high

from probe.measurements import Measurements, Streaming

# Of so many looks at the log, one that finds events missing may be a hiccup; two are not.
_FEWEST_LOOKS = 4
_HICCUPS = 1

# What is held back may be counted with the framing of chunks, which is not seen here.
_MARGIN = 1.125
_PADDING_STEP = 1024
# Of what is held back on the way from Lambda, reports name some 16 kB and some 100 kB.
_MOST_PADDING = 100 * 1024


class Path(enum.Enum):
    """How bytes travel between the function and us.

    * **STREAMS** - events arrive as they are made.
    * **HOLDS** - they arrive in bursts, when enough bytes have come together.
    * **BUFFERS** - they arrive when the answer is over.
    * **STEPS** - each of several responses arrives whole: what serves the application knows that
      nobody can stream here.
    * **UNCLEAR** - the answer was too short to tell.
    """

    STREAMS = enum.auto()
    HOLDS = enum.auto()
    BUFFERS = enum.auto()
    STEPS = enum.auto()
    UNCLEAR = enum.auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """`good` if nothing is to be done; `padding` is the EventPaddingBytes that should help."""

    path: Path
    padding: int | None
    sentences: Sequence[str]
    good: bool


def judge(measurements: Measurements) -> Verdict:
    """Say what was found."""
    streaming = measurements.streaming
    path = _path(streaming)
    padding = _padding(streaming) if path is Path.HOLDS else None
    faults = [*_unended(measurements), *_inexact(measurements)]
    return Verdict(
        path,
        padding,
        [_SAID[path](streaming), *faults],
        good=path is Path.STREAMS and not faults,
    )


def _path(streaming: Streaming) -> Path:
    whole = all(burst.last for burst in streaming.bursts())
    if whole and streaming.responses > 1:
        return Path.STEPS
    if len(streaming.looks) < _FEWEST_LOOKS:
        return Path.UNCLEAR
    if streaming.held().samples <= _HICCUPS:
        return Path.STREAMS
    return Path.BUFFERS if whole else Path.HOLDS


def _held_bytes(streaming: Streaming) -> int:
    """How many bytes must have come together: the rest at a response's end tells nothing.

    The higher median, since a path may let the very first bytes pass.
    """
    return median_high(burst.size for burst in streaming.bursts() if not burst.last)


def _padding(streaming: Streaming) -> int:
    return math.ceil(_held_bytes(streaming) * _MARGIN / _PADDING_STEP) * _PADDING_STEP


def _streams(streaming: Streaming) -> str:
    del streaming
    return "This path streams: events arrive as soon as the log has them. Nothing is to be set."


def _holds(streaming: Streaming) -> str:
    return (
        f"This path holds small chunks back: about {_held_bytes(streaming):,} bytes must have come "
        f"together before they arrive, and events were up to {streaming.held().seconds:.1f} s "
        f"late. Deploy with EventPaddingBytes={_padding(streaming)}, then probe again."
    )


def _buffers(streaming: Streaming) -> str:
    return (
        f"This path holds everything back: all {streaming.size:,} bytes arrived when the answer "
        f"was over, up to {streaming.held().seconds:.1f} s late. Either something on it cannot "
        "stream (the function URL's InvokeMode and the API's ResponseTransferMode must be "
        "RESPONSE_STREAM; a proxy may buffer), or that was too little to be let through: deploy "
        f"with EventPaddingBytes={_MOST_PADDING}, then probe again."
    )


def _steps(streaming: Streaming) -> str:
    return (
        f"What serves this path cannot stream: {streaming.responses} responses came whole, one "
        "after another. Use the function URL, or a REST API whose integration streams."
    )


def _unclear(streaming: Streaming) -> str:
    return (
        f"The answer was over after {len(streaming.looks)} looks at the log, which is too soon to "
        "tell. Probe again, and ask for a longer one (--prompt, --max-tokens)."
    )


_SAID = {
    Path.STREAMS: _streams,
    Path.HOLDS: _holds,
    Path.BUFFERS: _buffers,
    Path.STEPS: _steps,
    Path.UNCLEAR: _unclear,
}


def _unended(measurements: Measurements) -> Iterator[str]:
    if not measurements.streaming.ended:
        yield "The response went on after the answer's last event: clients must close it."
    for ending in measurements.endings:
        if ending.seconds is None:
            status = "no status" if ending.status is None else f"status {ending.status}"
            yield (
                f"A response did not end ({ending.what}; {status}): who asks waits until the "
                "function's timeout. Report it with the headers that this path adds."
            )
        elif ending.reused is False:
            yield f"A connection was of no use after a response ({ending.what})."


def _inexact(measurements: Measurements) -> Iterator[str]:
    if not measurements.resumption.exact:
        yield "An answer that was cut and resumed differs from the same answer read at once."
