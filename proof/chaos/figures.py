"""Times and costs, measured on the streams of a run; in seconds unless a unit is named."""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from proof.chaos.reader import Told
from proof.chaos.traffic import Traffic
from tests.event_source import Event

_TOKENS = frozenset({"thinking", "answer"})
_HUNDREDTHS = 100


@dataclass(frozen=True, slots=True)
class Sample:
    """Measurements of one thing."""

    values: Sequence[float]

    def percentile(self, hundredths: int) -> float:
        """The value below which so many hundredths of all values lie."""
        if len(self.values) == 1:
            return self.values[0]
        cuts = statistics.quantiles(self.values, n=_HUNDREDTHS, method="inclusive")
        return cuts[hundredths - 1]

    def __str__(self) -> str:
        """The median, and the 99th hundredth where there are enough to have one."""
        if not self.values:
            return "none"
        enough = len(self.values) >= _HUNDREDTHS
        worst = f"p99 {self.percentile(99):.2f}" if enough else f"max {max(self.values):.2f}"
        return f"p50 {self.percentile(50):.2f}, {worst}, n {len(self.values)}"


def resume_latencies(told: Told, traffic: Traffic) -> Iterator[float]:
    """From a reconnect to the first missed event, which the log had when the reader came back.

    Of several reconnects at one position, the first counts: its reader waits until one succeeds.
    """
    for position in sorted({position for _, position in told.connected_at}):
        if 0 < position < len(told.events):
            event = told.events[position]
            stood_at = traffic.stood_at.get((told.stream_id, event.seq), math.inf)
            yield from _first(
                event.at - at
                for at, came_to in told.connected_at
                if came_to == position and at > stood_at
            )


def take_over_times(told: Told, traffic: Traffic) -> Iterator[float]:
    """From the kill of a writer to the next token, another's, that this reader has received.

    A kill of a process that was not the stream's writer at that moment interrupts nothing.
    """
    for stream_id, pid, at in traffic.killed:
        if stream_id == told.stream_id and _newest_writer(traffic, stream_id, at) == pid:
            yield from _first(
                event.at - at
                for event in told.events
                if event.name in _TOKENS
                and traffic.stood_at.get((stream_id, event.seq), at) > at
                and traffic.writers[stream_id, event.seq] != pid
            )


def _newest_writer(traffic: Traffic, stream_id: str, at: float) -> int | None:
    """The process whose record was a stream's newest at that time."""
    stood = [key for key, stood_at in traffic.stood_at.items() if stood_at <= at]
    seqs = [seq for each, seq in stood if each == stream_id]
    return traffic.writers[stream_id, max(seqs)] if seqs else None


def hand_over_gaps(told: Told) -> Iterator[float]:
    """From a handoff to the next token, for a reader that was connected at the hand-over."""
    left_at = {position - 1 for _, position in told.connected_at}
    for index, event in enumerate(told.events):
        if event.name == "handoff" and index in left_at:
            yield from _first(
                later.at - event.at for later in told.events[index:] if later.name in _TOKENS
            )


def calls(traffics: Iterable[Traffic]) -> Mapping[str, float]:
    """Calls of each operation to the table, on average for one answer."""
    counted = [traffic.calls for traffic in traffics]
    operations = sorted({operation for each in counted for operation in each})
    return {
        operation: statistics.fmean(each.get(operation, 0) for each in counted)
        for operation in operations
    }


def tokens(events: Sequence[Event]) -> int:
    """The number of an answer's tokens, as its last event tells."""
    return int(events[-1].data["usage"]["output_tokens"])


def _first(values: Iterator[float]) -> Iterator[float]:
    for value in values:
        yield value
        return
