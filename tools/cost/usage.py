"""Computes the usage of one answer, in the units that AWS bills."""

from dataclasses import dataclass

from cost.records import (
    EVENTUALLY_CONSISTENT,
    INDEXED_BYTES,
    READ_UNIT_BYTES,
    WRITE_UNIT_BYTES,
    consistent_units,
    heartbeats,
    polls,
    record_bytes,
    text_records,
)
from cost.sizes import KB, MB, begun
from cost.workload import Answer, Stack

# The size of an `answer` event without its text, and of all other events of a response.
_EVENT_BYTES = 74
_EVENTS_AROUND_BYTES = 330
_FREE_RESPONSE_BYTES = 6 * MB
_API_REQUEST_BYTES = 10 * MB

# Sizes of lines in the function's log, each with the 26 bytes that CloudWatch adds: Lambda's START,
# END and REPORT, and the addition of tracing to REPORT; the metric of a cold start; the
# application's lines for an answer and for a claim; the metrics of an answer, in total and for each
# reported append; and the metrics of a reconnect.
_INVOCATION_LOG_BYTES = 345
_TRACE_LOG_BYTES = 95
_COLD_START_LOG_BYTES = 250
_ANSWER_LOG_BYTES = 336
_CLAIM_LOG_BYTES = 308
_METRICS_LOG_BYTES = 530
_LATENCY_LOG_BYTES = 6
_MOST_LATENCIES = 100
_RESUMPTION_LOG_BYTES = 225


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The usage of one answer, in the units that AWS bills, and the counts behind them."""

    requests: float
    seconds: float
    cold_seconds: float
    gb_seconds: float

    text_records: int
    heartbeats: int
    records: int
    record_units: int
    counter_units: float
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
    def write_units(self) -> float:
        """All write units that DynamoDB bills."""
        return self.record_units + self.counter_units

    @property
    def read_units(self) -> float:
        """All read units that DynamoDB bills."""
        polled = self.polls * EVENTUALLY_CONSISTENT
        return self.consistent_units + polled + self.snapshot_units


def usage(answer: Answer, stack: Stack) -> Usage:
    """Compute the usage of an answer."""
    sizes = record_bytes(answer, stack)
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
        record_units=sum(begun(size, WRITE_UNIT_BYTES) for size in sizes),
        counter_units=_counter_units(answer, stack),
        stored_bytes=sum(sizes) + len(sizes) * INDEXED_BYTES,
        consistent_units=consistent_units(answer, stack),
        polls=others * polls(answer, stack) + answer.reconnects * polls(answer, stack, 0.5),
        snapshot_units=answer.snapshots * begun(sum(sizes), READ_UNIT_BYTES),
        response_bytes=response,
        sent_bytes=response * followed,
        streamed_beyond_free_bytes=max(0.0, response - _FREE_RESPONSE_BYTES) * followed,
        api_requests=_api_requests(requests, answer, response) if stack.door == "rest" else 0.0,
        log_bytes=_log_bytes(answer, stack, requests),
        traces=requests * stack.traced,
    )


def _counter_units(answer: Answer, stack: Stack) -> float:
    """Count the updates of limits: one for a request, two for tokens, one for each connect.

    Tokens are updated when reserved and when settled. A reader that creates with GET /sse counts
    as a request only.
    """
    connects = _opening_requests(stack) - 1 + answer.readers - 1 + answer.reconnects
    creating = stack.request_counters + 2 * stack.token_counters
    return creating + connects * stack.connect_counters


# The function


def _opening_requests(stack: Stack) -> int:
    return 2 if stack.creation == "post" else 1


def _invoked_seconds(answer: Answer, stack: Stack) -> float:
    """Sum the seconds of all invocations.

    The writer's invocation runs to the end of the answer, even without its reader, and then
    settles the counters. Another reader's invocation runs while it follows.
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
    """Count the billed requests: API Gateway bills a streamed response again for every 10 MB."""
    streams = answer.readers + answer.reconnects
    return requests + streams * (begun(response, _API_REQUEST_BYTES) - 1)


def _log_bytes(answer: Answer, stack: Stack, requests: float) -> float:
    cold = stack.cold_starts * _COLD_START_LOG_BYTES
    invoked = requests * (_INVOCATION_LOG_BYTES + stack.traced * _TRACE_LOG_BYTES + cold)
    claim = _CLAIM_LOG_BYTES if stack.creation == "post" else 0
    appends = text_records(answer, stack) + heartbeats(answer, stack) + 1
    writing = _ANSWER_LOG_BYTES + _METRICS_LOG_BYTES + _latencies(appends)
    return invoked + claim + writing + answer.reconnects * _RESUMPTION_LOG_BYTES


def _latencies(appends: float) -> float:
    """Return the size of the reported latencies: halved until they are few enough."""
    while appends > _MOST_LATENCIES:
        appends /= 2
    return appends * _LATENCY_LOG_BYTES
