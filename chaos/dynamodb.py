"""DynamoDB Local, which judges races as the real one does; and the records at the end."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from app.event_log.records import Record, decode_payload
from local.environment import CREDENTIALS, REGION
from local.exceptions import CannotStart
from local.options import PROJECT
from local.process import Process
from local.watchdog import Watchdog

_START_SECONDS = 90.0
_JAR = "DynamoDBLocal.jar"


@asynccontextmanager
async def dynamodb_local() -> AsyncIterator[str]:
    """Run one in memory, and give its URL.

    Raises:
        CannotStart: there is none on this machine, or it did not come up.
    """
    folder = _folder()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [
        "java",
        # Soon there, and no hungrier than it must be: the sandboxes need the processors.
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        f"-Djava.library.path={folder / 'DynamoDBLocal_lib'}",
        "-jar",
        str(folder / _JAR),
        "-inMemory",
        "-disableTelemetry",
        "-port",
        str(port),
    ]
    with Watchdog() as watchdog:
        process = await Process.start(command, cwd=folder, env=None, watchdog=watchdog)
        reading = asyncio.create_task(_drain(process))
        try:
            url = f"http://127.0.0.1:{port}"
            await _answers(url)
            yield url
        finally:
            process.kill()
            await process.wait()
            await reading


async def log(http: httpx.AsyncClient, url: str, table: str, stream_id: str) -> list[Record]:
    """All records of a stream, read past the harness's proxy."""
    records: list[Record] = []
    following: dict[str, Any] = {}
    while True:
        page = await _call(
            http,
            url,
            "Query",
            {
                "TableName": table,
                "KeyConditionExpression": "stream_id = :stream",
                "ExpressionAttributeValues": {":stream": {"S": stream_id}},
                "ConsistentRead": True,
                **following,
            },
        )
        records += [_record(item) for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            return records
        following = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _record(item: dict[str, dict[str, str]]) -> Record:
    return Record(
        stream_id=item["stream_id"]["S"],
        seq=int(item["seq"]["N"]),
        payload=decode_payload(item["kind"]["S"], item["data"]["S"]),
        writer=item["writer"]["S"],
        nonce=item["nonce"]["S"],
        at=int(item["at"]["N"]),
        expires_at=int(item["expires_at"]["N"]),
    )


def _folder() -> Path:
    """Where the jar is: DYNAMODB_LOCAL names it, or `make dynamodb` has brought it."""
    given = os.environ.get("DYNAMODB_LOCAL")
    root = Path(given) if given else PROJECT / ".dynamodb-local"
    found = next(root.rglob(_JAR), None)
    if found is None:
        raise CannotStart(f"there is no {_JAR} under {root}; `make dynamodb` brings it")
    return found.parent


async def _drain(process: Process) -> None:
    async for _ in process.lines():
        pass


async def _answers(url: str) -> None:
    try:
        async with asyncio.timeout(_START_SECONDS), httpx.AsyncClient(trust_env=False) as http:
            while True:
                try:
                    await _call(http, url, "ListTables", {})
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
                else:
                    return
    except TimeoutError as error:
        raise CannotStart("DynamoDB Local did not come up") from error


async def _call(
    http: httpx.AsyncClient, url: str, operation: str, parameters: object
) -> dict[str, Any]:
    scope = f"{CREDENTIALS['AWS_ACCESS_KEY_ID']}/20000101/{REGION}/dynamodb/aws4_request"
    answer = await http.post(
        url,
        content=json.dumps(parameters),
        headers={
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=, Signature=",
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        },
    )
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found
