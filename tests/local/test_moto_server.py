import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
import httpx
import pytest

from local import CannotStart, Options
from local.dynamodb import create_table
from local.options import PROJECT
from local.template import Table, read_table

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import WriteRequestTypeDef

WRITERS = 6
ROUNDS = 25
# Threads that switch all the time make moto's own two-step put fail in one round of ten.
RESTLESS = "import sys; sys.setswitchinterval(1e-5); from local import moto_server as m; m.main()"


def client_of(url: str) -> "DynamoDBClient":
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="a",
    )


@contextmanager
def restless_server() -> Iterator[str]:
    command = [sys.executable, "-c", RESTLESS]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def put(client: "DynamoDBClient", stream_id: str, seq: int) -> bool:
    """Put an item if there is none; whether there was none."""
    try:
        client.put_item(
            TableName="StreamTable",
            Item={"stream_id": {"S": stream_id}, "seq": {"N": str(seq)}},
            ConditionExpression="attribute_not_exists(seq)",
        )
    except client.exceptions.ConditionalCheckFailedException:
        return False
    return True


def seqs(
    client: "DynamoDBClient", stream_id: str, *, after: int, forward: bool = True
) -> list[int]:
    """The sort keys of a partition behind one, by pages of two."""
    pages = client.get_paginator("query").paginate(
        TableName="StreamTable",
        KeyConditionExpression="stream_id = :id AND seq > :after",
        ExpressionAttributeValues={":id": {"S": stream_id}, ":after": {"N": str(after)}},
        ScanIndexForward=forward,
        PaginationConfig={"PageSize": 2},
    )
    return [int(item["seq"]["N"]) for page in pages for item in page["Items"]]


def test_of_writers_that_put_one_key_at_once_exactly_one_wins() -> None:
    with restless_server() as url:
        create_table(url, read_table(Options().template))
        clients = [client_of(url) for _ in range(WRITERS)]
        with ThreadPoolExecutor(WRITERS) as writers:
            for seq in range(ROUNDS):
                won = writers.map(lambda client, seq=seq: put(client, "a", seq), clients)
                assert sum(won) == 1


def test_a_query_gives_its_partition_in_order_page_by_page(dynamodb_url: str) -> None:
    create_table(dynamodb_url, read_table(Options().template))
    client = client_of(dynamodb_url)
    for seq in (10, 9, 2, 3, 1):
        assert put(client, "mine", seq)
        assert put(client, "other", seq)
    assert seqs(client, "mine", after=1) == [2, 3, 9, 10]
    assert seqs(client, "mine", after=2, forward=False) == [10, 9, 3]
    assert seqs(client, "mine", after=10) == []
    assert seqs(client, "unknown", after=0) == []


def test_a_page_of_another_site_cannot_call_it(dynamodb_url: str) -> None:
    """A browser asks first if a page may send DynamoDB's headers, and is not told that it may."""
    asked = {
        "origin": "http://attacker.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-amz-target",
    }
    preflight = httpx.options(dynamodb_url, headers=asked)
    call = httpx.post(
        dynamodb_url, headers={**asked, "x-amz-target": "DynamoDB_20120810.ListTables"}
    )
    for answer in (preflight, call):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


SCOPE = "a/20000101/us-east-1/dynamodb/aws4_request"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("attacker.example:3000", 421),
        ("", 421),
        ("localhost:3000", 200),
        ("host.docker.internal:3000", 200),
    ],
)
def test_it_answers_only_under_the_names_of_its_machine(
    dynamodb_url: str, host: str, status: int
) -> None:
    headers = {
        "host": host,
        "authorization": f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host, Signature=0",
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": "DynamoDB_20120810.ListTables",
    }
    assert httpx.post(dynamodb_url, headers=headers, json={}).status_code == status


def test_the_table_is_made_with_its_ttl_and_making_it_again_is_no_error(dynamodb_url: str) -> None:
    table = read_table(Options().template)
    create_table(dynamodb_url, table)
    create_table(dynamodb_url, table)
    described = client_of(dynamodb_url).describe_time_to_live(TableName=table.name)
    assert described["TimeToLiveDescription"]["AttributeName"] == "expires_at"


def test_a_table_that_dynamodb_does_not_like_is_named(dynamodb_url: str) -> None:
    keys = [{"AttributeName": "id", "KeyType": "HASH"}]
    table = Table("Odd", keys, attributes=[], ttl_attribute=None)
    with pytest.raises(CannotStart, match="the table Odd cannot be made"):
        create_table(dynamodb_url, table)


def test_a_client_that_stops_halfway_through_a_request_holds_up_nobody(dynamodb_url: str) -> None:
    create_table(dynamodb_url, read_table(Options().template))
    host, port = dynamodb_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as halfway:
        halfway.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf of it")
        assert put(client_of(dynamodb_url), "meanwhile", 0)


@pytest.mark.alone
def test_a_page_of_five_hundred_items_comes_whole_and_within_a_reads_patience() -> None:
    """The log gives a read a second and a half; moto as it is takes about as long."""
    with restless_server() as url:
        create_table(url, read_table(Options().template))
        client = client_of(url)
        items = [
            {
                "stream_id": {"S": "one"},
                "seq": {"N": str(seq)},
                "data": {"S": f"naïve {seq} 🚀"},
                "at": {"N": "1795380000000"},
            }
            for seq in range(500)
        ]
        for first in range(0, len(items), 25):
            puts: list[WriteRequestTypeDef] = [
                {"PutRequest": {"Item": item}} for item in items[first : first + 25]
            ]
            client.batch_write_item(RequestItems={"StreamTable": puts})
        begun = time.monotonic()

        answer = client.query(
            TableName="StreamTable",
            KeyConditionExpression="stream_id = :id",
            ExpressionAttributeValues={":id": {"S": "one"}},
        )

        assert answer["Items"] == items
        assert time.monotonic() - begun < 1
