"""Our requests and signatures, judged by botocore's for the same call."""

import datetime as dt
import json
from typing import Any
from unittest import mock

import pytest
from botocore import auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from durable_stream.aws import api
from durable_stream.aws.api import Operation
from durable_stream.aws.signing import Credentials, Signer

REGION = "eu-central-1"
HOST = f"dynamodb.{REGION}.amazonaws.com"
KEY = {"stream_id": {"S": "s"}, "seq": {"N": "1"}}
VALUES = {":a": {"N": "-3"}}
CALLS: list[tuple[Operation, dict[str, Any]]] = [
    ("GetItem", {"TableName": "t", "Key": KEY, "ConsistentRead": True}),
    ("DeleteItem", {"TableName": "t", "Key": KEY}),
    (
        "PutItem",
        {
            "TableName": "t",
            "Item": {**KEY, "data": {"S": "naïve 日本語 🚀 \\ud83d \0 \u2028"}},
            "ConditionExpression": "attribute_not_exists(stream_id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        },
    ),
    (
        "Query",
        {
            "TableName": "t",
            "KeyConditionExpression": "stream_id = :a",
            "ExpressionAttributeValues": VALUES,
            "Limit": 1,
            "ScanIndexForward": False,
        },
    ),
    (
        "UpdateItem",
        {
            "TableName": "t",
            "Key": KEY,
            "UpdateExpression": "ADD used :a",
            "ConditionExpression": "attribute_exists(used)",
            "ExpressionAttributeValues": VALUES,
        },
    ),
]

words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
credentials = st.builds(Credentials, words, words, st.none() | words)
moments = st.integers(1_500_000_000, 4_000_000_000)
headers = st.fixed_dictionaries({"content-type": words, "x-amz-target": words})


@given(credentials, st.binary(max_size=200), headers, st.lists(moments, min_size=1, max_size=3))
def test_a_signature_is_the_one_that_botocore_makes(
    credentials: Credentials, body: bytes, headers: dict[str, str], moments: list[int]
) -> None:
    """Also for a later day, for which the key is another."""
    signer = Signer("dynamodb", REGION, HOST)
    for now in moments:
        request = AWSRequest("POST", f"https://{HOST}/", headers, body)
        at = dt.datetime.fromtimestamp(now, dt.UTC)
        keys = BotocoreCredentials(
            credentials.access_key, credentials.secret_key, credentials.token
        )
        with mock.patch.object(auth, "get_current_datetime", lambda at=at: at):
            auth.SigV4Auth(keys, "dynamodb", REGION).add_auth(request)

        signed = signer.signed(headers, body, credentials, now)

        assert signed.pop("host") == HOST
        assert signed == {name.lower(): value for name, value in request.headers.items()}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class _Sent(Exception):
    """Raised instead of sending; it holds the request."""

    def __init__(self, request: AWSPreparedRequest) -> None:
        super().__init__()
        self.request = request


def botos_request(operation: Operation, call: dict[str, Any]) -> AWSPreparedRequest:
    """The request that boto3 sends for a call."""
    client: Any = Session().create_client(
        "dynamodb",
        region_name=REGION,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        aws_session_token="token",
    )

    def stop(request: AWSPreparedRequest, **_: object) -> None:
        raise _Sent(request)

    client.meta.events.register("before-send.dynamodb.*", stop)
    with pytest.raises(_Sent) as sent:
        client._make_api_call(operation, call)
    return sent.value.request


@pytest.mark.parametrize(("operation", "call"), CALLS, ids=lambda each: str(each)[:12])
def test_a_request_is_the_one_that_boto3_sends(operation: Operation, call: dict[str, Any]) -> None:
    """The same body, and the same headers but for those that say who sends them."""
    theirs = botos_request(operation, call)
    told = {name.lower(): _text(value) for name, value in theirs.headers.items()}
    now = dt.datetime.strptime(f"{told['x-amz-date']}+0000", "%Y%m%dT%H%M%SZ%z").timestamp()
    assert isinstance(theirs.body, bytes)

    body, headers = api.encoded(operation, call)
    assert json.loads(body) == json.loads(theirs.body)
    signer = Signer("dynamodb", REGION, HOST)
    # boto3's JSON has blanks, so the signatures can be compared for its body only.
    signed = signer.signed(headers, theirs.body, Credentials("key", "secret", "token"), now)

    assert theirs.url == f"https://{signed.pop('host')}/"
    for name, value in signed.items():
        assert told[name] == value, name
    ours_alone = {"user-agent", "amz-sdk-invocation-id", "amz-sdk-request", "content-length"}
    assert set(told) - set(signed) - ours_alone == {"accept-encoding"} & set(told)
