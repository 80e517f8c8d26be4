"""Records: what a stream consists of.

A record is a position, a payload, and who wrote it when. Payloads say what happened, in the terms
of generating an answer; how a client is told is not known here.
"""

import json
from dataclasses import dataclass, fields
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Start:
    """A stream was created. `request` is opaque here; `fingerprint` tells two requests apart.

    `owner` is who created it, "" where everybody may, and has `reserved` so many tokens for it.
    """

    kind: ClassVar = "start"
    model: str
    request: str
    fingerprint: str
    owner: str = ""
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer goes on in another attempt, `attempt`, counted from 1.

    `continued` tells how the model goes on: in terms of its provider, or `restarted` where
    nothing of the answer had been delivered.
    """

    kind: ClassVar = "claim"
    attempt: int
    continued: str = "restarted"


@dataclass(frozen=True, slots=True)
class Thinking:
    """A piece of the model's reasoning."""

    kind: ClassVar = "thinking"
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A piece of the answer."""

    kind: ClassVar = "answer"
    text: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The writer lives, but the model says nothing."""

    kind: ClassVar = "heartbeat"


@dataclass(frozen=True, slots=True)
class Handoff:
    """The writer stops on purpose; whoever reads may go on at once."""

    kind: ClassVar = "handoff"


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is complete. Token counts are None where the provider tells none."""

    kind: ClassVar = "done"
    finish_reason: str
    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer cannot be completed; `message` is fit for the reader's eyes.

    `free` says that the last attempt is known to have cost nothing.
    """

    kind: ClassVar = "error"
    code: str
    message: str
    retryable: bool
    free: bool = False


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Somebody stopped the answer."""

    kind: ClassVar = "cancelled"


Payload = Start | Claim | Thinking | Answer | Heartbeat | Handoff | Done | Failed | Cancelled

TERMINAL = (Done, Failed, Cancelled)

_KINDS: dict[str, type[Payload]] = {
    payload.kind: payload
    for payload in (
        Start,
        Claim,
        Thinking,
        Answer,
        Heartbeat,
        Handoff,
        Done,
        Failed,
        Cancelled,
    )
}


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of a stream's log.

    `seq` counts from 0 without gaps. `nonce` is unique to the attempt to append this record: it
    tells a write of our own whose acknowledgement was lost from a write by somebody else. `at` is
    the writer's clock in Unix milliseconds. `expires_at`, Unix seconds, is the same in all
    records of a stream, so that none outlives another. A `start` without `writer` waits for one.
    """

    stream_id: str
    seq: int
    payload: Payload
    writer: str
    nonce: str
    at: int
    expires_at: int

    @property
    def terminal(self) -> bool:
        """Whether nothing may follow this record."""
        return isinstance(self.payload, TERMINAL)


def encode_payload(payload: Payload) -> str:
    """The payload's members as one line of ASCII JSON.

    ASCII, since half a surrogate pair, which a model's JSON may hold, has no UTF-8 form but an
    escape: so any text comes back as it went in.
    """
    members = {field.name: getattr(payload, field.name) for field in fields(payload)}
    return json.dumps(members, separators=(",", ":"))


def decode_payload(kind: str, data: str) -> Payload:
    """The inverse of `encode_payload`."""
    return _KINDS[kind](**json.loads(data))
