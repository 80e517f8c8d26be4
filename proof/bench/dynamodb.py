"""The DynamoDB behind the measurements."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3

from local.dynamodb import create_table
from local.environment import CREDENTIALS, REGION
from local.template import read_table
from proof.bench.processes import ROOT, server

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

    from proof.bench.items import Item

_BATCH = 25  # the most that DynamoDB takes in one call


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

    def fill(self, items: Sequence["Item"]) -> None:
        """Put many items without a condition."""
        for first in range(0, len(items), _BATCH):
            batch = items[first : first + _BATCH]
            self.client.batch_write_item(
                RequestItems={self.table: [{"PutRequest": {"Item": each}} for each in batch]}
            )


@contextmanager
def in_memory() -> Iterator[Store]:
    """A table in a process of its own, which keeps up, for as long as the block runs."""
    table = read_table(ROOT / "template.yaml")
    with server([sys.executable, "-m", "proof.bench.in_memory"]) as process:
        create_table(process.url, table)
        client = boto3.client(
            "dynamodb",
            endpoint_url=process.url,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )
        yield Store(process.url, table.name, client)
