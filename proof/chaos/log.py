"""The records of a stream, read past everything that disturbs them."""

import json
from typing import Any

import httpx

from app.events import REGISTRY
from durable_stream import Record
from local.environment import CREDENTIALS, REGION


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
        event=REGISTRY.decode(item["kind"]["S"], item["data"]["S"]),
        writer=item["writer"]["S"],
        nonce=item["nonce"]["S"],
        at=int(item["at"]["N"]),
        expires_at=int(item["expires_at"]["N"]),
    )


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
