"""Streams that survive: an append-only log, its writers, its readers, and how they take over.

These names are most of what an application needs. The store on DynamoDB is in `dynamodb`,
`table` and `aws`. Nothing here knows the subject of a stream.
"""

from durable_stream.attempts import RetryPolicy
from durable_stream.codec import Codec
from durable_stream.engine import Engine
from durable_stream.events import (
    Cancelled,
    Claim,
    Event,
    Failed,
    Handoff,
    Heartbeat,
    Registry,
    Reset,
    Start,
    StepBegun,
    StepEnded,
    Text,
)
from durable_stream.exceptions import (
    BadCursor,
    InputTooLarge,
    KeyReused,
    NoTable,
    ProducerFailed,
    StepFailed,
    StepRefused,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    StreamError,
    StreamNotFound,
)
from durable_stream.history import History, Status, status
from durable_stream.hooks import AllHooks, Hooks
from durable_stream.outcome import Outcome
from durable_stream.reading import Reading
from durable_stream.records import Record
from durable_stream.steps import Steps
from durable_stream.store import Store
from durable_stream.streams import Streams
from durable_stream.task import Producer, Resume, Task
from durable_stream.timing import Clock, Timing, Window

__all__ = [
    "AllHooks",
    "BadCursor",
    "Cancelled",
    "Claim",
    "Clock",
    "Codec",
    "Engine",
    "Event",
    "Failed",
    "Handoff",
    "Heartbeat",
    "History",
    "Hooks",
    "InputTooLarge",
    "KeyReused",
    "NoTable",
    "Outcome",
    "Producer",
    "ProducerFailed",
    "Reading",
    "Record",
    "Registry",
    "Reset",
    "Resume",
    "RetryPolicy",
    "Start",
    "Status",
    "StepBegun",
    "StepEnded",
    "StepFailed",
    "StepRefused",
    "Steps",
    "Store",
    "StoreError",
    "StoreRefused",
    "StoreUnavailable",
    "StreamError",
    "StreamNotFound",
    "Streams",
    "Task",
    "Text",
    "Timing",
    "Window",
    "status",
]
