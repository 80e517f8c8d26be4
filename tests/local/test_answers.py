import json

import pytest

from local.answers import Head, buffered_answer, split_prelude
from local.exceptions import MalformedAnswer

PRELUDE = {
    "statusCode": 201,
    "headers": {"Content-Type": "text/event-stream", "x-a": "1"},
    "cookies": ["a=1; Path=/", "b=2"],
}


def test_a_prelude_ends_at_eight_nul_bytes_and_the_body_may_begin_with_more() -> None:
    data = json.dumps(PRELUDE).encode() + bytes(8) + b"\x00body"
    head = Head(
        201,
        (
            ("content-type", "text/event-stream"),
            ("x-a", "1"),
            ("set-cookie", "a=1; Path=/"),
            ("set-cookie", "b=2"),
        ),
    )
    assert split_prelude(data) == (head, b"\x00body")


def test_a_prelude_without_its_end_needs_more_data() -> None:
    assert split_prelude(json.dumps(PRELUDE).encode() + bytes(7)) is None


def test_a_prelude_longer_than_api_gateways_limit_is_refused() -> None:
    with pytest.raises(MalformedAnswer, match="16 KiB"):
        split_prelude(b" " * (16 * 1024 + 1))


def test_headers_that_a_function_url_sets_itself_are_renamed_or_dropped() -> None:
    headers = {"Content-Length": 5, "Connection": "close", "Transfer-Encoding": "chunked"}
    split = split_prelude(json.dumps({"statusCode": 200, "headers": headers}).encode() + bytes(8))
    assert split is not None
    assert split[0].headers == (
        ("x-amzn-remapped-content-length", "5"),
        ("x-amzn-remapped-connection", "close"),
        ("content-type", "application/octet-stream"),
    )


@pytest.mark.parametrize(
    ("result", "body"),
    [
        ({"statusCode": 404, "body": "é"}, "é".encode()),
        ({"statusCode": 404, "body": "AP8=", "isBase64Encoded": True}, b"\x00\xff"),
        ({"statusCode": 404}, b""),
        ({"statusCode": 404, "headers": None, "cookies": None, "body": None}, b""),
    ],
)
def test_a_proxy_result_becomes_head_and_body(result: object, body: bytes) -> None:
    head = Head(404, (("content-type", "application/json"),))
    assert buffered_answer(json.dumps(result).encode()) == (head, body)


@pytest.mark.parametrize("payload", [b'"Hello"', b'{"a": 1}', b"null", b"[1]"])
def test_any_other_result_is_the_body_itself(payload: bytes) -> None:
    head = Head(200, (("content-type", "application/json"),))
    assert buffered_answer(payload) == (head, payload)


@pytest.mark.parametrize(
    "result",
    [
        {"statusCode": "200"},
        {"statusCode": 99},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "cookies": "a=1"},
        {"statusCode": 200, "body": "no base64", "isBase64Encoded": True},
    ],
)
def test_a_malformed_proxy_result_is_refused(result: object) -> None:
    with pytest.raises(MalformedAnswer):
        buffered_answer(json.dumps(result).encode())


def test_a_result_that_is_not_json_is_refused() -> None:
    with pytest.raises(MalformedAnswer):
        buffered_answer(b"not json")
