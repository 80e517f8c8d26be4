"""The application without its log: what it appends counts as written at once."""

from app.event_log.dynamodb import DynamoDBLog
from app.event_log.records import Record
from app.main import handler

__all__ = ["handler"]


async def _forget(self: DynamoDBLog, record: Record) -> None:
    """Append nothing."""


DynamoDBLog.append = _forget  # type: ignore[method-assign]
