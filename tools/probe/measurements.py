"""The measurements of a deployment, and the figures computed from them.

They distinguish a path that holds bytes back from a slow model: while one connection receives the
events, another polls for the last position in the event log. An event that was in the event log
and arrived much later was held back on the way. Only this machine's clock is used, and the pace of
the model does not matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from probe.events import Arrival, Event

# An event may arrive this long after it was seen in the event log. This is longer than a poll or a
# short network delay, and shorter than a delay that a user would notice.
LATE_SECONDS = 0.75

# Reads within this time belong together, since a writer leaves 40 ms between two appends.
_BURST_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Sample:
    """A poll of the event log: its last position at this time."""

    at: float
    seq: int


@dataclass(frozen=True, slots=True)
class Read:
    """One read: the number of the response, the bytes read, and the time."""

    response: int
    size: int
    at: float


@dataclass(frozen=True, slots=True)
class Burst:
    """Bytes that arrived together; `last` if the response ended with them."""

    size: int
    last: bool


@dataclass(frozen=True, slots=True)
class Backlog:
    """The most events that were in the event log and had not arrived LATE_SECONDS later.

    `samples` is the number of samples that found such events; `seconds` is the largest delay of an
    event.
    """

    samples: int
    events: int
    size: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaming:
    """One answer, requested at `began`; `ended` is True if its last response ended in time."""

    began: float
    reads: Sequence[Read]
    arrivals: Sequence[Arrival]
    samples: Sequence[Sample]
    ended: bool

    @property
    def responses(self) -> int:
        """The number of responses."""
        return self.reads[-1].response

    @property
    def useful_samples(self) -> Sequence[Sample]:
        """The samples that were taken before the last event arrived."""
        return [sample for sample in self.samples if sample.at <= self.arrivals[-1].at]

    @property
    def first_byte(self) -> float:
        """Seconds until the first byte of the answer arrived."""
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
        """Seconds between each heartbeat and the event before it."""
        return [
            later.at - earlier.at
            for earlier, later in pairwise(self.arrivals)
            if later.event.name == "heartbeat"
        ]

    @property
    def event_size(self) -> float:
        """The median size of an event in bytes."""
        return median(arrival.size for arrival in self.arrivals)

    def backlog(self) -> Backlog:
        """Compute what was held back on the way."""
        late = [events for sample in self.useful_samples if (events := self._late(sample))]
        return Backlog(
            samples=len(late),
            events=max(map(len, late), default=0),
            size=max((sum(arrival.size for arrival in events) for events in late), default=0),
            seconds=max(map(self._delay, self.arrivals), default=0.0),
        )

    def bursts(self) -> Sequence[Burst]:
        """Join reads that belong together."""
        bursts: list[Burst] = []
        size = 0
        for read, following in zip(self.reads, [*self.reads[1:], None], strict=True):
            size += read.size
            ends = following is None or following.response != read.response
            if following is None or ends or following.at - read.at > _BURST_SECONDS:
                bursts.append(Burst(size, last=ends))
                size = 0
        return bursts

    def _late(self, sample: Sample) -> Sequence[Arrival]:
        return [
            arrival
            for arrival in self.arrivals
            if arrival.seq <= sample.seq and arrival.at > sample.at + LATE_SECONDS
        ]

    def _delay(self, arrival: Arrival) -> float:
        known = (sample.at for sample in self.samples if sample.seq >= arrival.seq)
        return max(0.0, arrival.at - next(known, arrival.at))


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a short response: its status, and the seconds from request to end.

    Each is None if it did not arrive in time. `reused` is True if the connection served another
    request, and None if the server had announced that it would close it.
    """

    name: str
    status: int | None
    seconds: float | None
    reused: bool | None


@dataclass(frozen=True, slots=True)
class Resumption:
    """An answer that was read up to a cut, resumed after it, and read again from the start."""

    before: Sequence[Event]
    after: Sequence[Event]
    again: Sequence[Event]

    @property
    def exact(self) -> bool:
        """True if no event was lost, repeated or changed."""
        return [*self.before, *self.after] == list(self.again)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """The result of a probe. Round trips are in seconds; the first may include a cold start."""

    round_trips: Sequence[float]
    streaming: Streaming
    endings: Sequence[Ending]
    resumption: Resumption
