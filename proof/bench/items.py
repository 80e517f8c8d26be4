"""Records as items of the table, from another writer than the application."""

import json
import secrets
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

    Item = dict[str, AttributeValueTypeDef]

_HOUR = 3600


def new_stream_id() -> str:
    """An id like the application's own."""
    return secrets.token_urlsafe(24)


def item(stream_id: str, seq: int, kind: str, **data: Any) -> "Item":
    """A record as the application stores it."""
    now = time.time()
    return {
        "stream_id": {"S": stream_id},
        "seq": {"N": str(seq)},
        "kind": {"S": kind},
        "data": {"S": json.dumps(data, separators=(",", ":"))},
        "writer": {"S": "bench"},
        "nonce": {"S": secrets.token_urlsafe(9)},
        "at": {"N": str(int(now * 1000))},
        "expires_at": {"N": str(int(now) + _HOUR)},
    }


def start(stream_id: str) -> "Item":
    """Record 0 of a stream."""
    return item(stream_id, 0, "start", input="{}", model="demo")


def done(stream_id: str, seq: int) -> "Item":
    """The last record of a stream."""
    return item(stream_id, seq, "done", finish_reason="stop", input_tokens=1, output_tokens=1)
