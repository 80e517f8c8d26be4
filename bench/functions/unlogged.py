"""The application without its log: what it appends counts as written at once."""

from app.main import handler
from durable_stream.dynamodb import DynamoDBLog
from durable_stream.records import Record

__all__ = ["handler"]


async def _forget(self: DynamoDBLog, record: Record) -> None:
    """Append nothing."""


DynamoDBLog.append = _forget  # type: ignore[method-assign]
