"""The faults that a stream may suffer, and a description of each."""

from enum import StrEnum


class Fault(StrEnum):
    """A fault, named as the report names it."""

    # At the nth PutItem of the stream, done to the process that sent it.
    KILL_BEFORE_PUT = "kill before the put"
    KILL_AFTER_PUT = "kill after the put"
    KILL_ACKNOWLEDGED = "kill as the put is acknowledged"
    TERMINATE = "SIGTERM"
    FREEZE_BEFORE_PUT = "freeze before the put"
    FREEZE_AFTER_PUT = "freeze after the put"
    # At the nth PutItem of the stream, done to the call.
    LOSE_ANSWER = "lose the put's answer"
    REFUSE = "refuse the put"
    THROTTLE = "throttle the put"
    FAIL = "fail the put"
    SLOW = "slow put"
    LATE_ANSWER = "answer after the client gave up"
    LATE_PUT = "put carried out behind its retry"
    OUTAGE = "store out for many calls"
    SILENT = "store silent"
    UNREACHABLE = "store out of reach"
    # At the nth Query of the stream.
    QUERY_FAILS = "fail the query"
    QUERY_UNANSWERED = "lose the query's answer"
    STALE_QUERY = "stale query"
    GAPPED_QUERY = "query with a gap"
    # At the nth event that the first reader receives.
    KILL_AFTER_SEND = "kill after the send"
    # After the nth byte of a connection's answer.
    CUT = "cut anywhere"
    CUT_IN_CHARACTER = "cut inside a character"
    CUT_BEFORE_ID = "cut between data and id"
    CUT_IN_ID = "cut inside the id"
    CUT_BEFORE_END = "cut before the event's empty line"
    HALF_OPEN = "half-open connection"
    SLOW_READER = "slow reader"
    # Done by other clients.
    DUPLICATE_CREATE = "duplicate create"
    CANCEL = "stop in mid-answer"
    CANCEL_AT_FINISH = "stop racing with the finish"
    CANCEL_AT_TAKE_OVER = "stop racing with a take-over"
    HOSTILE_CURSORS = "hostile cursors"
    CROWD = "50 readers on one stream"
    # To any sandbox, now and then.
    RECYCLE = "recycle an idle sandbox"


WHAT = {
    Fault.KILL_BEFORE_PUT: "SIGKILL to the writer; the record it was sending never arrives",
    Fault.KILL_AFTER_PUT: "SIGKILL to the writer once the table has the record, no answer sent",
    Fault.KILL_ACKNOWLEDGED: "SIGKILL to the writer right behind the table's answer to it",
    Fault.TERMINATE: "SIGTERM to the writer, as a runtime that is replaced gets it",
    Fault.FREEZE_BEFORE_PUT: "SIGSTOP to the writer; its put is under way until another sandbox "
    "has taken over, then carried out, then SIGCONT",
    Fault.FREEZE_AFTER_PUT: "SIGSTOP once the table has the record; its answer and SIGCONT come "
    "after another sandbox has taken over",
    Fault.LOSE_ANSWER: "the table has the record; the connection closes without an answer",
    Fault.REFUSE: "the connection closes before the table has seen the record, and at the next 3 "
    "calls for this stream",
    Fault.THROTTLE: "ProvisionedThroughputExceededException, and at the next 3 calls",
    Fault.FAIL: "InternalServerError, status 500, and at the next 3 calls",
    Fault.SLOW: "0.6 s before the put is carried out",
    Fault.LATE_ANSWER: "carried out at once, answered 2 s later; the client waits for 1 s",
    Fault.LATE_PUT: "held for 2 s and carried out then, when its retry has been",
    Fault.OUTAGE: "12 calls for this stream, puts and queries, fail with status 500",
    Fault.SILENT: "for 10 s no call for this stream is answered, its writer alive; then what waits "
    "is carried out, also for who does not wait any more",
    Fault.UNREACHABLE: "for 10 s every call for this stream has its connection closed, its writer "
    "alive",
    Fault.QUERY_FAILS: "InternalServerError, status 500, and at the next 3 calls",
    Fault.QUERY_UNANSWERED: "the connection closes without an answer",
    Fault.STALE_QUERY: "the next eventually consistent read with news lacks the newest record",
    Fault.GAPPED_QUERY: "the next one with two records or more lacks one before the last",
    Fault.KILL_AFTER_SEND: "SIGKILL to the record's writer when a reader has received its event",
    Fault.CUT: "the connection is reset at this very byte",
    Fault.CUT_IN_CHARACTER: "reset within the \\uXXXX of a character that is not ASCII",
    Fault.CUT_BEFORE_ID: "reset between an event's data line and its id line",
    Fault.CUT_IN_ID: "reset behind the first digit of the position in an event's id",
    Fault.CUT_BEFORE_END: "reset between an event's id line and the empty line",
    Fault.HALF_OPEN: "behind the head of an answer nothing passes any more, and nobody is "
    "told that the other has gone",
    Fault.SLOW_READER: "from here on 50 bytes every 50 ms pass, for 4 s",
    Fault.DUPLICATE_CREATE: "four POSTs with one Idempotency-Key at once, and one with another "
    "body",
    Fault.CANCEL: "POST …/cancel when the nth put passes",
    Fault.CANCEL_AT_FINISH: "POST …/cancel; `done` waits until `cancelled` is on its way as well",
    Fault.CANCEL_AT_TAKE_OVER: "POST …/cancel; the `claim` waits for `cancelled` likewise",
    Fault.HOSTILE_CURSORS: "Last-Event-IDs, in the header and in the query, that are malformed, of "
    "another stream, of none, beyond the end; and, behind the end, the last one and its successor",
    Fault.CROWD: "fifty EventSources, over several sandboxes of sixteen invocations each",
    Fault.RECYCLE: "SIGKILL to a sandbox that has nothing in hand",
}

AT_PUT = (
    Fault.KILL_BEFORE_PUT,
    Fault.KILL_AFTER_PUT,
    Fault.KILL_ACKNOWLEDGED,
    Fault.TERMINATE,
    Fault.FREEZE_BEFORE_PUT,
    Fault.FREEZE_AFTER_PUT,
    Fault.LOSE_ANSWER,
    Fault.REFUSE,
    Fault.THROTTLE,
    Fault.FAIL,
    Fault.SLOW,
    Fault.LATE_ANSWER,
    Fault.LATE_PUT,
    Fault.OUTAGE,
    Fault.SILENT,
    Fault.UNREACHABLE,
)
SILENCES = frozenset({Fault.SILENT, Fault.UNREACHABLE})
# Those of AT_PUT that are done to the process rather than to its call.
FREEZES = frozenset({Fault.FREEZE_BEFORE_PUT, Fault.FREEZE_AFTER_PUT})
TO_THE_PROCESS = FREEZES | {
    Fault.KILL_BEFORE_PUT,
    Fault.KILL_AFTER_PUT,
    Fault.KILL_ACKNOWLEDGED,
    Fault.TERMINATE,
}
AT_QUERY = (
    Fault.QUERY_FAILS,
    Fault.QUERY_UNANSWERED,
    Fault.STALE_QUERY,
    Fault.GAPPED_QUERY,
)
AT_BYTE = (
    Fault.CUT,
    Fault.CUT_IN_CHARACTER,
    Fault.CUT_BEFORE_ID,
    Fault.CUT_IN_ID,
    Fault.CUT_BEFORE_END,
    Fault.HALF_OPEN,
    Fault.SLOW_READER,
)
CANCELS = frozenset({Fault.CANCEL, Fault.CANCEL_AT_FINISH, Fault.CANCEL_AT_TAKE_OVER})
# After them a provider works on, until its writer learns that it has lost.
STOPPING = frozenset(
    {
        Fault.FREEZE_BEFORE_PUT,
        Fault.FREEZE_AFTER_PUT,
        Fault.OUTAGE,
        Fault.CANCEL,
        Fault.CANCEL_AT_TAKE_OVER,
    }
)
# They cost an attempt without a word if the writer has not spoken yet (a silence, if it begins with
# a claim). A stream is given up after five of those, for good reason: so none gets more than three.
FATAL = SILENCES | frozenset(
    {
        Fault.KILL_BEFORE_PUT,
        Fault.KILL_AFTER_PUT,
        Fault.KILL_ACKNOWLEDGED,
        Fault.KILL_AFTER_SEND,
        Fault.TERMINATE,
        Fault.FREEZE_BEFORE_PUT,
        Fault.FREEZE_AFTER_PUT,
        Fault.OUTAGE,
    }
)
