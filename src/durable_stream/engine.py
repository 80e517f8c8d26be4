"""Engine: the parts that all streams of a process share."""

import secrets
from dataclasses import dataclass, field

from durable_stream.attempts import RetryPolicy
from durable_stream.hooks import Hooks
from durable_stream.records import Record
from durable_stream.store import Store
from durable_stream.task import Producer
from durable_stream.timing import Clock, Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The parts. `name` is the process's as a writer.

    `tail_records` is how many of a stream's newest records are held in memory.
    """

    store: Store
    producer: Producer
    hooks: Hooks = field(default_factory=Hooks)
    timing: Timing = field(default_factory=Timing)
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    clock: Clock = field(default_factory=Clock)
    tail_records: int = 512
    name: str = field(default_factory=lambda: secrets.token_urlsafe(6))

    def expired(self, record: Record) -> bool:
        """DynamoDB may delete an expired item days late; for readers it is gone at once."""
        return record.expires_at <= self.clock.now()
