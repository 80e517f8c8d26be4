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
# Frequent thread switches make moto's own two-step put fail in one round of ten.
SWITCH_THREADS = (
    "import sys; sys.setswitchinterval(1e-5); from local import moto_server as m; m.main()"
)


def client_of(url: str) -> "DynamoDBClient":
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="a",
    )


@contextmanager
def thread_switching_server() -> Iterator[str]:
    command = [sys.executable, "-c", SWITCH_THREADS]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def put(client: "DynamoDBClient", stream_id: str, seq: int) -> bool:
    """Put an item unless it exists; return True if it was put."""
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
    """Query the sort keys of a partition after one, in pages of two."""
    pages = client.get_paginator("query").paginate(
        TableName="StreamTable",
        KeyConditionExpression="stream_id = :id AND seq > :after",
        ExpressionAttributeValues={":id": {"S": stream_id}, ":after": {"N": str(after)}},
        ScanIndexForward=forward,
        PaginationConfig={"PageSize": 2},
    )
    return [int(item["seq"]["N"]) for page in pages for item in page["Items"]]


def test_exactly_one_of_several_concurrent_puts_of_one_key_succeeds() -> None:
    with thread_switching_server() as url:
        create_table(url, read_table(Options().template))
        clients = [client_of(url) for _ in range(WRITERS)]
        with ThreadPoolExecutor(WRITERS) as writers:
            for seq in range(ROUNDS):
                won = writers.map(lambda client, seq=seq: put(client, "a", seq), clients)
                assert sum(won) == 1


def test_a_query_returns_its_partition_in_order_page_by_page(dynamodb_url: str) -> None:
    create_table(dynamodb_url, read_table(Options().template))
    client = client_of(dynamodb_url)
    for seq in (10, 9, 2, 3, 1):
        assert put(client, "mine", seq)
        assert put(client, "other", seq)
    assert seqs(client, "mine", after=1) == [2, 3, 9, 10]
    assert seqs(client, "mine", after=2, forward=False) == [10, 9, 3]
    assert seqs(client, "mine", after=10) == []
    assert seqs(client, "unknown", after=0) == []


def test_a_page_of_another_site_cannot_call_the_server(dynamodb_url: str) -> None:
    """A browser's preflight for DynamoDB's headers gets no permission."""
    request = {
        "origin": "http://attacker.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-amz-target",
    }
    preflight = httpx.options(dynamodb_url, headers=request)
    call = httpx.post(
        dynamodb_url, headers={**request, "x-amz-target": "DynamoDB_20120810.ListTables"}
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
def test_the_server_accepts_only_hosts_that_name_its_machine(
    dynamodb_url: str, host: str, status: int
) -> None:
    headers = {
        "host": host,
        "authorization": f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host, Signature=0",
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": "DynamoDB_20120810.ListTables",
    }
    assert httpx.post(dynamodb_url, headers=headers, json={}).status_code == status


def test_the_table_is_created_with_its_ttl_and_creating_it_again_succeeds(
    dynamodb_url: str,
) -> None:
    table = read_table(Options().template)
    create_table(dynamodb_url, table)
    create_table(dynamodb_url, table)
    described = client_of(dynamodb_url).describe_time_to_live(TableName=table.name)
    assert described["TimeToLiveDescription"]["AttributeName"] == "expires_at"


def test_a_table_that_dynamodb_refuses_is_named_in_the_error(dynamodb_url: str) -> None:
    keys = [{"AttributeName": "id", "KeyType": "HASH"}]
    table = Table("Odd", keys, attributes=[], ttl_attribute=None)
    with pytest.raises(CannotStart, match="the table Odd cannot be made"):
        create_table(dynamodb_url, table)


def test_a_client_that_stops_within_a_request_does_not_block_others(dynamodb_url: str) -> None:
    create_table(dynamodb_url, read_table(Options().template))
    host, port = dynamodb_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as halfway:
        halfway.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf of it")
        assert put(client_of(dynamodb_url), "meanwhile", 0)


@pytest.mark.alone
def test_a_page_of_500_items_is_complete_and_within_the_time_limit_of_a_read() -> None:
    """The event log's limit is a second and a half; unchanged, moto takes about as long."""
    with thread_switching_server() as url:
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
        started = time.monotonic()

        answer = client.query(
            TableName="StreamTable",
            KeyConditionExpression="stream_id = :id",
            ExpressionAttributeValues={":id": {"S": "one"}},
        )

        assert answer["Items"] == items
        assert time.monotonic() - started < 1
