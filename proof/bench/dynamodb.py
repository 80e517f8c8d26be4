"""The DynamoDB behind the measurements, and streams put into it from outside."""

import json
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from local.dynamodb import create_table
from local.environment import CREDENTIALS, REGION
from local.template import read_table
from proof.bench.processes import ROOT, server

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

    Item = dict[str, AttributeValueTypeDef]

_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Store:
    """The table that template.yaml describes."""

    url: str
    table: str
    client: "DynamoDBClient"

    def environ(self, url: str | None = None) -> dict[str, str]:
        """The variables that make a sandbox use this table, perhaps through a proxy at `url`."""
        return {"AWS_ENDPOINT_URL_DYNAMODB": url or self.url, "TABLE_NAME": self.table}

    def put(self, item: "Item") -> None:
        """Put one item where none is, as the application does."""
        self.client.put_item(
            TableName=self.table,
            Item=item,
            ConditionExpression="attribute_not_exists(stream_id)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )


@contextmanager
def moto() -> Iterator[Store]:
    """A table in a moto process of its own, for as long as the block runs."""
    table = read_table(ROOT / "template.yaml")
    with server([sys.executable, "-m", "local.moto_server"]) as process:
        create_table(process.url, table)
        yield Store(process.url, table.name, client(process.url))


def client(url: str) -> "DynamoDBClient":
    """boto3's client for the DynamoDB at `url`."""
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


def new_stream_id() -> str:
    """An id like the application's own."""
    return secrets.token_urlsafe(24)


def item(stream_id: str, seq: int, kind: str, **data: Any) -> "Item":
    """A record as the application stores it, from another writer."""
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
