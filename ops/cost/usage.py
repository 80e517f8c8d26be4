"""What one answer uses up: pure functions of the answer and the stack.

They follow the writer (src/app/generation/generation.py) and the readers (tail.py) step by step;
tests/ops/test_cost.py holds them against a run that is counted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat

from ops.cost.workload import Answer, Stack

KB = 1024
MB = 1024 * KB
GB = 1024 * MB

# DynamoDB developer guide, "Item sizes and formats": names and values of a record's attributes
# without its data; and what every item takes on top of that where it is stored.
_ATTRIBUTES_BYTES = 117
_INDEXED_BYTES = 100
# The data of each kind of record, without what the model has read or written.
_START_BYTES = 230
_CLAIM_BYTES = 37
_TEXT_BYTES = 11
_HEARTBEAT_BYTES = 2
_DONE_BYTES = 65

_WRITE_UNIT_BYTES = KB
_READ_UNIT_BYTES = 4 * KB
_EVENTUALLY_CONSISTENT = 0.5

# How the tail slows down while nothing comes.
_SLOWER = 1.6

# An `answer` event without its text, and those before and behind all answers.
_EVENT_BYTES = 74
_EVENTS_AROUND_BYTES = 330
_FREE_RESPONSE_BYTES = 6 * MB
_API_REQUEST_BYTES = 10 * MB

# Lines of the log with the 26 bytes that CloudWatch adds to each: Lambda's START, END and REPORT,
# and what tracing adds to the last; the metric of a cold start; the application's lines for a
# generation and for a claim; the metrics of a generation, for itself and for each append that is
# told of; and those of a reader that came back.
_INVOCATION_LOG_BYTES = 345
_TRACE_LOG_BYTES = 95
_COLD_START_LOG_BYTES = 250
_GENERATION_LOG_BYTES = 336
_CLAIM_LOG_BYTES = 308
_METRICS_LOG_BYTES = 530
_LATENCY_LOG_BYTES = 6
_MOST_LATENCIES = 100
_RESUMPTION_LOG_BYTES = 225


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an answer uses up, in the units it is paid in, and what that is made of."""

    requests: float
    seconds: float
    cold_seconds: float
    gb_seconds: float

    text_records: int
    heartbeats: int
    records: int
    record_units: int
    counter_units: int
    stored_bytes: float

    consistent_units: float
    polls: float
    snapshot_units: float

    response_bytes: float
    sent_bytes: float
    streamed_beyond_free_bytes: float
    api_requests: float
    log_bytes: float
    traces: float

    @property
    def write_units(self) -> int:
        """All that DynamoDB counts as written."""
        return self.record_units + self.counter_units

    @property
    def read_units(self) -> float:
        """All that DynamoDB counts as read."""
        polled = self.polls * _EVENTUALLY_CONSISTENT
        return self.consistent_units + polled + self.snapshot_units


def usage(answer: Answer, stack: Stack) -> Usage:
    """What an answer uses up."""
    sizes = _record_bytes(answer, stack)
    texts = text_records(answer, stack)
    beats = heartbeats(answer, stack)
    others = answer.readers - 1
    requests = _opening_requests(stack) + others + answer.reconnects + answer.snapshots
    seconds = _invoked_seconds(answer, stack)
    cold = requests * stack.cold_starts * stack.cold_start_seconds
    response = _response_bytes(answer, stack)
    followed = answer.readers + answer.reconnects / 2
    return Usage(
        requests=requests,
        seconds=seconds,
        cold_seconds=cold,
        gb_seconds=(seconds + cold) * stack.memory_mb / KB,
        text_records=texts,
        heartbeats=beats,
        records=len(sizes),
        record_units=sum(_units(size, _WRITE_UNIT_BYTES) for size in sizes),
        counter_units=stack.request_counters + 2 * stack.token_counters,
        stored_bytes=sum(sizes) + len(sizes) * _INDEXED_BYTES,
        consistent_units=_consistent_units(answer, stack),
        polls=others * polls(answer, stack) + answer.reconnects * polls(answer, stack, 0.5),
        snapshot_units=answer.snapshots * _units(sum(sizes), _READ_UNIT_BYTES),
        response_bytes=response,
        sent_bytes=response * followed,
        streamed_beyond_free_bytes=max(0.0, response - _FREE_RESPONSE_BYTES) * followed,
        api_requests=_api_requests(requests, answer, response) if stack.door == "rest" else 0.0,
        log_bytes=_log_bytes(answer, stack, requests),
        traces=requests * stack.traced,
    )


# Writing


def text_records(answer: Answer, stack: Stack) -> int:
    """Records of text: the first token's at once, then as the group commit goes.

    It is taken for granted that tokens come at a steady pace, which gives the most records:
    tokens that come together are written together.
    """
    return 1 + math.ceil(answer.speaking_seconds / _period(answer, stack))


def heartbeats(answer: Answer, stack: Stack) -> int:
    """Records that only say that the writer lives."""
    before = _heartbeats_in(answer.first_token_seconds, stack)
    return before + (answer.output_tokens - 1) * _heartbeats_in(1 / answer.tokens_per_second, stack)


def _heartbeats_in(silence: float, stack: Stack) -> int:
    return max(0, math.ceil(silence / stack.heartbeat) - 1)


def _period(answer: Answer, stack: Stack) -> float:
    """Seconds from one record of text to the next.

    A record waits for the acknowledgement of the one before and for the interval behind that, or
    else for the next token.
    """
    return max(stack.call_seconds + stack.flush_interval, 1 / answer.tokens_per_second)


def _record_bytes(answer: Answer, stack: Stack) -> Sequence[float]:
    """The size of every item that is put."""
    texts = text_records(answer, stack)
    said = answer.output_tokens * answer.bytes_per_token / texts
    data = chain(
        [_START_BYTES + answer.input_tokens * answer.bytes_per_token],
        [_CLAIM_BYTES] if stack.creation == "post" else [],
        repeat(_HEARTBEAT_BYTES, heartbeats(answer, stack)),
        repeat(_TEXT_BYTES + said, texts),
        [_DONE_BYTES],
    )
    return [_ATTRIBUTES_BYTES + size for size in data]


def _units(size: float, unit: int) -> int:
    return math.ceil(size / unit)


# Reading


def polls(answer: Answer, stack: Stack, share: float = 1.0) -> int:
    """How often a sandbox asks the log that does not write it, over the last share of an answer."""
    whole = answer.first_token_seconds + answer.speaking_seconds
    period = _period(answer, stack)
    at, pause, heard, count = (1 - share) * whole, stack.poll_interval, 0, 0
    while at < whole:
        at += pause + stack.call_seconds
        said = at - answer.first_token_seconds
        written = 1 + int(said / period) if said >= 0 else 0
        slower = min(pause * _SLOWER, stack.poll_interval_idle)
        pause = stack.poll_interval if written > heard else slower
        heard = written
        count += 1
    return count


def _consistent_units(answer: Answer, stack: Stack) -> float:
    """Reads that must see everything: a reader's first, and a look before claiming.

    Whoever creates with GET /sse writes at once and reads nothing; whoever comes back asks for
    little more than the last record it has.
    """
    start = _ATTRIBUTES_BYTES + _START_BYTES + answer.input_tokens * answer.bytes_per_token
    first = _units(start, _READ_UNIT_BYTES)
    looks = 2 if stack.creation == "post" else 0
    return first * (looks + answer.readers - 1) + answer.reconnects


# The function


def _opening_requests(stack: Stack) -> int:
    return 2 if stack.creation == "post" else 1


def _invoked_seconds(answer: Answer, stack: Stack) -> float:
    """All invocations together.

    The writer's goes on to the end of the answer even if its reader has gone, and counters are
    settled behind that; readers' last as long as they follow.
    """
    call = stack.call_seconds
    reserving = call if stack.request_counters + stack.token_counters else 0.0
    settling = call if stack.token_counters else 0.0
    creating = reserving + call + stack.request_seconds
    claiming = 3 * call + stack.request_seconds if stack.creation == "post" else 0.0
    answering = answer.first_token_seconds + answer.speaking_seconds + 2 * call
    following = answer.readers - 1 + answer.reconnects / 2
    others = following * answering + answer.snapshots * (call + stack.request_seconds)
    return creating + claiming + answering + settling + others


def _response_bytes(answer: Answer, stack: Stack) -> float:
    texts = text_records(answer, stack)
    text = answer.output_tokens * answer.bytes_per_token / texts
    chunk = max(_EVENT_BYTES + text, stack.event_padding_bytes)
    return _EVENTS_AROUND_BYTES + texts * chunk


def _api_requests(requests: float, answer: Answer, response: float) -> float:
    """API Gateway counts a streamed response once for every 10 MB that it has begun."""
    streams = answer.readers + answer.reconnects
    return requests + streams * (_units(response, _API_REQUEST_BYTES) - 1)


def _log_bytes(answer: Answer, stack: Stack, requests: float) -> float:
    cold = stack.cold_starts * _COLD_START_LOG_BYTES
    invoked = requests * (_INVOCATION_LOG_BYTES + stack.traced * _TRACE_LOG_BYTES + cold)
    claim = _CLAIM_LOG_BYTES if stack.creation == "post" else 0
    appends = text_records(answer, stack) + heartbeats(answer, stack) + 1
    generation = _GENERATION_LOG_BYTES + _METRICS_LOG_BYTES + _latencies(appends)
    return invoked + claim + generation + answer.reconnects * _RESUMPTION_LOG_BYTES


def _latencies(appends: float) -> float:
    """Every append is told of, or every second or fourth one, so that they are not too many."""
    while appends > _MOST_LATENCIES:
        appends /= 2
    return appends * _LATENCY_LOG_BYTES
