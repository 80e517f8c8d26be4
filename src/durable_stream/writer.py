"""Appending to a stream as its only writer."""

import secrets
import time
from dataclasses import dataclass

from app.exceptions import StreamError
from durable_stream.dynamodb import DynamoDBLog
from durable_stream.records import Payload, Record
from durable_stream.retry import patiently


class Superseded(StreamError):
    """Raised when somebody else has written the next position; `record` is what stands there."""

    def __init__(self, record: Record) -> None:
        super().__init__(f"position {record.seq} is {record.writer or 'somebody'}'s")
        self.record = record


@dataclass(slots=True, kw_only=True)
class Writer:
    """Appends records one after another; one call at a time, so one record is in flight.

    `seq` is the next position.
    """

    log: DynamoDBLog
    stream_id: str
    name: str
    expires_at: int
    seq: int = 0

    async def append(self, payload: Payload, patience: float) -> Record:
        """The record once it is durable; raises Superseded, LogUnavailable or LogRefused."""
        record = Record(
            stream_id=self.stream_id,
            seq=self.seq,
            payload=payload,
            writer=self.name,
            nonce=secrets.token_urlsafe(9),
            at=int(time.time() * 1000),
            expires_at=self.expires_at,
        )
        present = await append_patiently(self.log, record, patience)
        if present is not None:
            raise Superseded(present)
        self.seq += 1
        return record


async def append_patiently(log: DynamoDBLog, record: Record, patience: float) -> Record | None:
    """Append as `DynamoDBLog.append`, again and again for `patience` seconds if need be.

    It is the same record every time, so a write that had happened after all counts as ours.
    """
    return await patiently(lambda: log.append(record), patience)
