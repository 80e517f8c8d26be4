"""Appends, one after another: `GET /appends?by=store&count=50&pause_ms=40` tells their cost.

They are made by the event log's store, or by boto3 in a thread, in the same kind of process. A
process imports only the one that it is asked for.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from functools import cache, partial
from typing import Literal, TypeAlias

from fastapi import FastAPI

from durable_stream import Record
from durable_stream.records import new_nonce
from lambda_stream import Adapter
from proof.bench.items import item, new_stream_id

Append: TypeAlias = Callable[[str, int], Awaitable[object]]

_TABLE = os.environ["TABLE_NAME"]
_TEXT = " a few tokens"
_HOUR = 3600

app = FastAPI()


@app.get("/appends")
async def appends(by: Literal["store", "boto3"], count: int, pause_ms: int = 0) -> dict[str, float]:
    """Append records to a new stream, each after a pause.

    `processor_ms` is the process's time for one, `last_ms` the time until the last was durable.
    """
    append = _store() if by == "store" else _boto3()
    stream_id = new_stream_id()
    used, began_at = time.process_time(), time.perf_counter()
    asked_at = began_at
    for seq in range(count):
        if pause_ms:
            await asyncio.sleep(began_at + (seq + 1) * pause_ms / 1e3 - time.perf_counter())
        asked_at = time.perf_counter()
        await append(stream_id, seq)
    return {
        "processor_ms": (time.process_time() - used) / count * 1e3,
        "last_ms": (time.perf_counter() - asked_at) * 1e3,
    }


@cache
def _store() -> Append:
    """The store of the event log, as the engine calls it."""
    from app.events import REGISTRY, Answer
    from durable_stream.dynamodb import DynamoDBStore
    from durable_stream.table import Table

    store = DynamoDBStore(Table(_TABLE), REGISTRY)

    async def append(stream_id: str, seq: int) -> object:
        now = time.time()
        return await store.append(
            Record(
                stream_id,
                seq,
                Answer(_TEXT),
                writer="bench",
                nonce=new_nonce(),
                at=int(now * 1000),
                expires_at=int(now) + _HOUR,
            )
        )

    return append


@cache
def _boto3() -> Append:
    """boto3's put of the same item, in a thread, as the loop must not wait."""
    import boto3

    client = boto3.client("dynamodb")

    def append(stream_id: str, seq: int) -> Awaitable[object]:
        put = partial(
            client.put_item,
            TableName=_TABLE,
            Item=item(stream_id, seq, "answer", text=_TEXT),
            ConditionExpression="attribute_not_exists(stream_id)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        return asyncio.get_running_loop().run_in_executor(None, put)

    return append


handler = Adapter(app)
