"""Computes the records that an answer writes to the store, and the reads of the store.

The functions follow the writer (src/durable_stream/writing.py) and the readers (polling.py) step by
step; tests/cost/test_cost.py compares them with the counts of a real run.
"""

import math
from collections.abc import Sequence
from itertools import chain, repeat

from cost.sizes import KB, begun
from cost.workload import Answer, Stack

# DynamoDB developer guide, "Item sizes and formats": names and values of a record's attributes
# without its data, and the storage that DynamoDB adds to every item.
_ATTRIBUTES_BYTES = 117
INDEXED_BYTES = 100
# The size of each kind's data, without the text that the model has read or written.
_START_BYTES = 230
_CLAIM_BYTES = 37
_TEXT_BYTES = 11
_HEARTBEAT_BYTES = 2
_DONE_BYTES = 65

WRITE_UNIT_BYTES = KB
READ_UNIT_BYTES = 4 * KB
EVENTUALLY_CONSISTENT = 0.5

# The factor by which a reader's poll interval grows while there is nothing new.
_SLOWER = 1.6


# Writing


def text_records(answer: Answer, stack: Stack) -> int:
    """Count the records of text: one for the first token, then one for every group commit.

    Tokens are assumed to come at a steady pace, which gives the most records: tokens that arrive
    together are written together.
    """
    return 1 + math.ceil(answer.speaking_seconds / _period(answer, stack))


def heartbeats(answer: Answer, stack: Stack) -> int:
    """Count the heartbeats, which a writer appends while the model is silent."""
    before = _heartbeats_in(answer.first_token_seconds, stack)
    return before + (answer.output_tokens - 1) * _heartbeats_in(1 / answer.tokens_per_second, stack)


def _heartbeats_in(silence: float, stack: Stack) -> int:
    return max(0, math.ceil(silence / stack.heartbeat) - 1)


def _period(answer: Answer, stack: Stack) -> float:
    """Return the seconds from one record of text to the next.

    A record waits for the acknowledgement of the previous one and then for the flush interval, or
    for the next token if that is later.
    """
    return max(stack.call_seconds + stack.flush_interval, 1 / answer.tokens_per_second)


def record_bytes(answer: Answer, stack: Stack) -> Sequence[float]:
    """Return the size of every record."""
    texts = text_records(answer, stack)
    text_bytes = answer.output_tokens * answer.bytes_per_token / texts
    data = chain(
        [_START_BYTES + answer.input_tokens * answer.bytes_per_token],
        [_CLAIM_BYTES] if stack.creation == "post" else [],
        repeat(_HEARTBEAT_BYTES, heartbeats(answer, stack)),
        repeat(_TEXT_BYTES + text_bytes, texts),
        [_DONE_BYTES],
    )
    return [_ATTRIBUTES_BYTES + size for size in data]


# Reading


def polls(answer: Answer, stack: Stack, share: float = 1.0) -> int:
    """Count the polls of a sandbox that does not write, over the last share of an answer."""
    whole = answer.first_token_seconds + answer.speaking_seconds
    period = _period(answer, stack)
    at, pause, read, count = (1 - share) * whole, stack.poll_interval, 0, 0
    while at < whole:
        at += pause + stack.call_seconds
        speaking = at - answer.first_token_seconds
        written = 1 + int(speaking / period) if speaking >= 0 else 0
        slower = min(pause * _SLOWER, stack.poll_interval_idle)
        pause = stack.poll_interval if written > read else slower
        read = written
        count += 1
    return count


def consistent_units(answer: Answer, stack: Stack) -> float:
    """Count the units of consistent reads: each reader's first, and one before a claim.

    GET /sse creates and writes at once, and reads nothing. A reconnect reads little more than the
    last record.
    """
    start = _ATTRIBUTES_BYTES + _START_BYTES + answer.input_tokens * answer.bytes_per_token
    first = begun(start, READ_UNIT_BYTES)
    creating = 2 if stack.creation == "post" else 0
    return first * (creating + answer.readers - 1) + answer.reconnects
