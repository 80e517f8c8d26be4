"""What is measured of a deployment, and what follows from it alone.

How a path that holds bytes back is told from a model that is slow: while one connection receives
the events, another one asks again and again how far the log has come. An event that the log had,
and that did not arrive for a while after, was held on the way. No clock but ours is used, and the
model's pace does not matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from probe.events import Arrival, Event

# So long after it was seen in the log an event may arrive: more than a poll of the log takes, or a
# hiccup of the network, and less than anybody who reads would notice.
LATE_SECONDS = 0.75

# Bytes that arrive so soon after each other were sent together: a writer leaves 40 ms between
# two appends.
_TOGETHER_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Sample:
    """A look at the log: at this time, it had come to this position at least."""

    at: float
    seq: int


@dataclass(frozen=True, slots=True)
class Read:
    """So many bytes of a body read at this time, of the response of this number."""

    response: int
    size: int
    at: float


@dataclass(frozen=True, slots=True)
class Burst:
    """Bytes that arrived together; `last` if their response ended with them."""

    size: int
    last: bool


@dataclass(frozen=True, slots=True)
class Held:
    """The most that was in the log, and had not arrived LATE_SECONDS later.

    `samples` counts the looks at the log that found such events; `seconds` is how late the
    latest of all events was.
    """

    samples: int
    events: int
    size: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaming:
    """One answer. `began` is when it was asked for; `ended` whether its response ended with it."""

    began: float
    reads: Sequence[Read]
    arrivals: Sequence[Arrival]
    samples: Sequence[Sample]
    ended: bool

    @property
    def responses(self) -> int:
        """How many responses it took."""
        return self.reads[-1].response

    @property
    def looks(self) -> Sequence[Sample]:
        """The looks at the log while there was something to come."""
        return [sample for sample in self.samples if sample.at <= self.arrivals[-1].at]

    @property
    def first_byte(self) -> float:
        """Seconds until anything of an answer came."""
        return self.reads[0].at - self.began

    @property
    def size(self) -> int:
        """All bytes received."""
        return sum(read.size for read in self.reads)

    @property
    def gaps(self) -> Sequence[float]:
        """Seconds between reads."""
        return [later.at - earlier.at for earlier, later in pairwise(self.reads)]

    @property
    def heartbeats(self) -> Sequence[float]:
        """Seconds between each heartbeat and what came before it."""
        return [
            later.at - earlier.at
            for earlier, later in pairwise(self.arrivals)
            if later.event.name == "heartbeat"
        ]

    @property
    def event_size(self) -> float:
        """The bytes of the event in the middle, when they are ordered by size."""
        return median(arrival.size for arrival in self.arrivals)

    def held(self) -> Held:
        """What was held on the way."""
        backlogs = [self._backlog(sample) for sample in self.looks]
        late = [backlog for backlog in backlogs if backlog]
        return Held(
            samples=len(late),
            events=max(map(len, late), default=0),
            size=max((sum(arrival.size for arrival in backlog) for backlog in late), default=0),
            seconds=max(map(self._lateness, self.arrivals), default=0.0),
        )

    def bursts(self) -> Sequence[Burst]:
        """The reads, joined where they came together."""
        bursts: list[Burst] = []
        size = 0
        for read, following in zip(self.reads, [*self.reads[1:], None], strict=True):
            size += read.size
            ends = following is None or following.response != read.response
            if following is None or ends or following.at - read.at > _TOGETHER_SECONDS:
                bursts.append(Burst(size, last=ends))
                size = 0
        return bursts

    def _backlog(self, sample: Sample) -> Sequence[Arrival]:
        return [
            arrival
            for arrival in self.arrivals
            if arrival.seq <= sample.seq and arrival.at > sample.at + LATE_SECONDS
        ]

    def _lateness(self, arrival: Arrival) -> float:
        known = (sample.at for sample in self.samples if sample.seq >= arrival.seq)
        return max(0.0, arrival.at - next(known, arrival.at))


@dataclass(frozen=True, slots=True)
class Ending:
    """How a short response ended: with its status, and so many seconds after its request.

    None stands for what did not come in time. `reused` tells whether the connection took another
    request, None that the server had said that it would close it.
    """

    what: str
    status: int | None
    seconds: float | None
    reused: bool | None


@dataclass(frozen=True, slots=True)
class Resumption:
    """An answer whose connection was cut, read on from there, and read again from the start."""

    before: Sequence[Event]
    after: Sequence[Event]
    again: Sequence[Event]

    @property
    def exact(self) -> bool:
        """Whether nothing was lost, repeated or changed."""
        return [*self.before, *self.after] == list(self.again)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """All that a probe finds out. Round trips are in seconds; the first may be a cold start."""

    round_trips: Sequence[float]
    streaming: Streaming
    endings: Sequence[Ending]
    resumption: Resumption
