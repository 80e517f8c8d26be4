"""What an answer makes of the table: pure functions of the answer and the stack.

They follow the writer (src/app/generation/generation.py) and the readers (tail.py) step by step;
tests/ops/test_cost.py holds them against a run that is counted.
"""

import math
from collections.abc import Sequence
from itertools import chain, repeat

from cost.sizes import KB, begun
from cost.workload import Answer, Stack

# DynamoDB developer guide, "Item sizes and formats": names and values of a record's attributes
# without its data; and what every item takes on top of that where it is stored.
_ATTRIBUTES_BYTES = 117
INDEXED_BYTES = 100
# The data of each kind of record, without what the model has read or written.
_START_BYTES = 230
_CLAIM_BYTES = 37
_TEXT_BYTES = 11
_HEARTBEAT_BYTES = 2
_DONE_BYTES = 65

WRITE_UNIT_BYTES = KB
READ_UNIT_BYTES = 4 * KB
EVENTUALLY_CONSISTENT = 0.5

# How the tail slows down while nothing comes.
_SLOWER = 1.6


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


def record_bytes(answer: Answer, stack: Stack) -> Sequence[float]:
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


def consistent_units(answer: Answer, stack: Stack) -> float:
    """Reads that must see everything: a reader's first, and a look before claiming.

    Whoever creates with GET /sse writes at once and reads nothing; whoever comes back asks for
    little more than the last record it has.
    """
    start = _ATTRIBUTES_BYTES + _START_BYTES + answer.input_tokens * answer.bytes_per_token
    first = begun(start, READ_UNIT_BYTES)
    looks = 2 if stack.creation == "post" else 0
    return first * (looks + answer.readers - 1) + answer.reconnects
