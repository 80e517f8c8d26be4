"""Records: the entries of a stream's log."""

import secrets
from dataclasses import dataclass

from durable_stream.events import Event


@dataclass(frozen=True, slots=True)
class Record:
    """A position in a stream, the event there, and who wrote it when.

    `seq` counts from 0 without gaps. `nonce` is unique to the attempt to append this record: it
    tells a write of our own whose acknowledgement was lost from another writer's. `at` is the
    writer's clock in Unix milliseconds. `expires_at`, Unix seconds, is the same in all records of
    a stream, so that none outlives another. A `start` without `writer` waits for one.
    """

    stream_id: str
    seq: int
    event: Event
    writer: str
    nonce: str
    at: int
    expires_at: int

    @property
    def terminal(self) -> bool:
        """True if nothing may follow this record."""
        return self.event.terminal


def new_nonce() -> str:
    """A nonce that no other attempt to append has."""
    return secrets.token_urlsafe(9)
