"""The table that the benchmarks ask answers as DynamoDB does, by the judgement of boto3."""

import json
import zlib
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from proof.bench.dynamodb import Store, in_memory
from proof.bench.items import item, new_stream_id


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with in_memory() as store:
        yield store


def seqs(store: Store, stream_id: str, **options: bool | int) -> list[int]:
    answer = store.client.query(
        TableName=store.table,
        KeyConditionExpression="stream_id = :stream AND seq >= :start",
        ExpressionAttributeValues={":stream": {"S": stream_id}, ":start": {"N": "1"}},
        **options,  # type: ignore[arg-type]
    )
    return [int(each["seq"]["N"]) for each in answer["Items"]]


def test_a_position_is_taken_once_and_the_loser_is_told_by_whom(store: Store) -> None:
    first, second = (item("a" * 32, 1, "answer", text=text) for text in "12")
    store.put(first)

    with pytest.raises(ClientError) as failure:
        store.put(second)

    refused = failure.value.response
    assert refused["Error"]["Code"] == "ConditionalCheckFailedException"
    assert refused["Item"] == first  # type: ignore[typeddict-item]


def test_a_query_gives_the_records_from_a_position_on_in_either_order(store: Store) -> None:
    stream_id = new_stream_id()
    store.fill([item(stream_id, seq, "answer", text="t") for seq in (3, 0, 2, 1)])

    assert seqs(store, stream_id) == [1, 2, 3]
    assert seqs(store, stream_id, Limit=2) == [1, 2]
    assert seqs(store, stream_id, ScanIndexForward=False, Limit=1) == [3]


def test_a_page_that_is_cut_short_says_so(store: Store) -> None:
    stream_id = new_stream_id()
    store.fill([item(stream_id, seq, "answer", text="t" * 300_000) for seq in range(5)])

    answer = store.client.query(
        TableName=store.table,
        KeyConditionExpression="stream_id = :stream",
        ExpressionAttributeValues={":stream": {"S": stream_id}},
    )

    assert len(answer["Items"]) == 3, "1 MB"
    assert answer["LastEvaluatedKey"] == {"stream_id": {"S": stream_id}, "seq": {"N": "2"}}


def test_an_item_is_found_by_its_key_or_not_at_all(store: Store) -> None:
    stream_id = new_stream_id()
    store.put(put := item(stream_id, 7, "answer", text="naïve"))

    def got(seq: int) -> object:
        key = {"stream_id": put["stream_id"], "seq": {"N": str(seq)}}
        return store.client.get_item(TableName=store.table, Key=key).get("Item")

    assert got(7) == put
    assert got(8) is None


def test_one_connection_serves_many_calls_and_each_answer_has_its_crc(store: Store) -> None:
    head = {"X-Amz-Target": "DynamoDB_20120810.GetItem"}
    key = {"stream_id": {"S": "none"}, "seq": {"N": "0"}}
    with closing(HTTPConnection(urlsplit(store.url).netloc, timeout=10)) as connection:
        connection.connect()
        connected = connection.sock
        for _ in range(3):
            connection.request("POST", "/", json.dumps({"Key": key}), head)
            response = connection.getresponse()
            body = response.read()

            assert response.headers["x-amz-crc32"] == str(zlib.crc32(body))
            assert connection.sock is connected


def test_an_operation_that_it_does_not_know_is_refused(store: Store) -> None:
    with pytest.raises(ClientError, match="Scan is not known here"):
        store.client.scan(TableName=store.table)
