"""The searches: the properties of the model, and the mutations that must break one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One search: the model with these definitions, for a claim or else for all its assertions.

    `lacks` takes a rule of the protocol away. The search must then find that `breaks` does not
    hold; these are the model's words beside an assertion or a claim.
    """

    name: str
    sizes: str
    claim: str = ""
    lacks: str = ""
    breaks: str = ""

    @property
    def definitions(self) -> tuple[str, ...]:
        """The options of spin's preprocessor."""
        fair = ("FAIR",) if self.claim else ()
        return tuple(f"-D{each}" for each in (*self.sizes.split(), *self.lacks.split(), *fair))


_FAILOVER = "FAULTS=1 TOKENS=2 FRUITLESS=1 HANDOFFS=1"
_LONG = "FAULTS=1 TOKENS=2 FRUITLESS=2 HANDOFFS=1"
_ENDING = "FAULTS=1 TOKENS=1 FRUITLESS=1 HANDOFFS=1"
_BRIEF = "FAULTS=1 TOKENS=1 FRUITLESS=1 HANDOFFS=0"
_CALM = "FAULTS=0 TOKENS=1 FRUITLESS=1"
_LEASED = "FAULTS=1 TOKENS=2 FRUITLESS=3 HANDOFFS=1 LEASE"
_ANSWERED = "FAULTS=2 TOKENS=2 FRUITLESS=1 HANDOFFS=0 LEASE PATIENT"
_SILENT = "FAULTS=2 TOKENS=2 FRUITLESS=1 HANDOFFS=1 LEASE PATIENT ALL_LIVE"
_STEPS = "FAULTS=1 TOKENS=2 FRUITLESS=1 HANDOFFS=1 STEPS"
_STEPS_LEASED = f"{_STEPS} LEASE"

# The long ones first: two are searched at a time.
PROPERTIES = (
    Check(name="safe, reader, canceller, fault", sizes=f"{_BRIEF} READER CANCELLER"),
    Check(name="arrives", sizes=f"{_BRIEF} READER", claim="arrives"),
    Check(name="safe, reader, handover", sizes=f"{_ENDING} READER"),
    Check(
        name="safe, reader, canceller, handover",
        sizes=f"{_CALM} HANDOFFS=1 READER CANCELLER",
    ),
    Check(
        name="safe, canceller, two faults",
        sizes="FAULTS=2 TOKENS=1 FRUITLESS=1 HANDOFFS=0 CANCELLER",
    ),
    Check(
        name="safe, reader, two texts",
        sizes="FAULTS=1 TOKENS=2 FRUITLESS=1 HANDOFFS=0 READER",
    ),
    Check(name="safe, many claims", sizes=_LONG),
    Check(name="no deadlock, reader, fault", sizes=f"{_BRIEF} READER STOPS"),
    Check(
        name="no deadlock, reader, canceller",
        sizes=f"{_CALM} HANDOFFS=0 READER CANCELLER STOPS",
    ),
    Check(name="no deadlock, reader, handover", sizes=f"{_CALM} HANDOFFS=1 READER STOPS"),
    Check(name="safe, canceller, handover", sizes=f"{_ENDING} CANCELLER"),
    Check(
        name="safe, canceller, two texts",
        sizes="FAULTS=1 TOKENS=2 FRUITLESS=1 HANDOFFS=0 CANCELLER",
    ),
    Check(
        name="arrives, gaps let through",
        sizes=f"{_CALM} HANDOFFS=1 READER WITH_GAPS",
        claim="arrives",
    ),
    Check(name="arrives, canceller", sizes=f"{_CALM} HANDOFFS=0 READER CANCELLER", claim="arrives"),
    Check(name="ends, canceller", sizes=f"{_BRIEF} CANCELLER", claim="ends"),
    Check(name="ends, handover", sizes=_ENDING, claim="ends"),
    Check(name="completes, lease kept", sizes=_LEASED, claim="completes"),
    Check(name="completes, no answer fails", sizes=_ANSWERED, claim="completes"),
    Check(name="safe, log silent, all live", sizes=_SILENT),
    Check(name="safe, steps", sizes=_STEPS),
    Check(
        name="safe, steps, two faults",
        sizes="FAULTS=2 TOKENS=2 FRUITLESS=1 HANDOFFS=0 STEPS",
    ),
    Check(name="safe, steps, lease kept", sizes=_STEPS_LEASED),
    Check(name="completes, steps, lease kept", sizes=f"{_LEASED} STEPS", claim="completes"),
)


def _without(rule: str, lacks: str, sizes: str, *, breaks: str, claim: str = "") -> Check:
    return Check(name=f"without {rule}", sizes=sizes, claim=claim, lacks=lacks, breaks=breaks)


_WRITTEN_ONCE = "a position is written once"
_NO_GAP = "positions have no gap"
_END_IS_LAST = "nothing follows a terminal record"
_EXACT = "no token is repeated or left out"
_CANCELLED = "who has cancelled has ended the stream"
_SENT_IS_KEPT = "what a client is sent is in the log"
_PREFIX = "a reader gets a prefix of the log"
_BOUNDED = "attempts without a word end"
_ENDS = "every stream ends"
_COMPLETES = "every answer is completed"
_GOES_ON = "a writer that lives continues its attempt"
_BEGUN = "a step works behind the record of its begin"
_NOT_AGAIN = "no step works behind its end"
_NO_DEADLOCK = "invalid end state"  # pan's words

MUTATIONS = (
    _without("condition", "NO_CONDITION", _FAILOVER, breaks=_WRITTEN_ONCE),
    _without("nonce", "NO_NONCE", _FAILOVER, breaks=_SENT_IS_KEPT),
    _without(
        "knowing one's own put",
        "RETRY_IS_LOSS",
        _ANSWERED,
        claim="completes",
        breaks=_COMPLETES,
    ),
    _without("retry at the same position", "RETRY_ELSEWHERE", _FAILOVER, breaks=_END_IS_LAST),
    _without(
        "durable before delivered",
        "DELIVER_BEFORE_DURABLE",
        _FAILOVER,
        breaks=_SENT_IS_KEPT,
    ),
    _without("reading what was said", "CONTINUE_FROM_MEMORY", _FAILOVER, breaks=_EXACT),
    _without("reading after a lost claim", "CLAIM_WITHOUT_READING", _FAILOVER, breaks=_EXACT),
    _without("stop of the superseded", "IGNORE_LOSS", _FAILOVER, breaks=_EXACT),
    _without("stop of the unacknowledged", "IGNORE_SILENCE", _FAILOVER, breaks=_NO_GAP),
    _without("end to claims", "CLAIM_AFTER_END", _FAILOVER, breaks=_END_IS_LAST),
    _without(
        "end to cancelling", "CANCEL_AFTER_END", f"{_FAILOVER} CANCELLER", breaks=_END_IS_LAST
    ),
    _without("chasing the end", "CANCEL_ONCE", f"{_BRIEF} CANCELLER", breaks=_CANCELLED),
    _without("resuming behind the last event", "RESUME_AT", f"{_BRIEF} READER", breaks=_PREFIX),
    _without("clearing the tail at a gap", "FEED_ACROSS_GAP", f"{_BRIEF} READER", breaks=_PREFIX),
    _without(
        "the log for who is behind",
        "WAIT_BEHIND_WINDOW",
        f"{_BRIEF} READER",
        claim="arrives",
        breaks="a reader comes to the end",
    ),
    _without(
        "the log for who is behind",
        "WAIT_BEHIND_WINDOW",
        f"{_BRIEF} READER STOPS",
        breaks=_NO_DEADLOCK,
    ),
    _without(
        "reading on at a handoff",
        "HANDOFF_IS_END",
        f"{_ENDING} READER",
        breaks="a reader ends with the stream",
    ),
    _without(
        "claim of a handed-over stream", "HANDOFF_IS_END", _FAILOVER, claim="ends", breaks=_ENDS
    ),
    _without("giving up", "NO_LIMIT", _FAILOVER, breaks=_BOUNDED),
    _without("take-over", "NO_TAKEOVER", _FAILOVER, claim="ends", breaks=_ENDS),
    _without("going on in a silence", "GIVE_UP_IN_SILENCE", _SILENT, breaks=_GOES_ON),
    _without("lease", "NO_LEASE", _LEASED, claim="completes", breaks=_COMPLETES),
    _without("durable before work", "WORK_TOO_EARLY", _STEPS, breaks=_BEGUN),
    _without(
        "reading what was said, steps", "CONTINUE_FROM_MEMORY", _STEPS_LEASED, breaks=_NOT_AGAIN
    ),
    _without("lease, steps", "NO_LEASE", _STEPS_LEASED, breaks=_NOT_AGAIN),
)
