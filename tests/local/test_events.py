import base64
import json
import re
from typing import Any

import pytest

from local.events import function_url_event
from local.http1 import Request

TRACE = "Root=1-00000000-000000000000000000000000"


def event_of(body: bytes = b"", **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "method": "GET",
        "target": "/",
        "protocol": "HTTP/1.1",
        "headers": (("host", "abc.example:3000"), ("user-agent", "a browser")),
        "peer": "192.0.2.1",
    }
    event: dict[str, Any] = json.loads(
        function_url_event(Request(**(given | changes)), body, "request-1", TRACE)
    )
    return event


def test_a_bare_get_has_every_field_of_aws_and_no_empty_ones() -> None:
    event = event_of()
    when = event["requestContext"].pop("time"), event["requestContext"].pop("timeEpoch")
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", when[0])
    assert isinstance(when[1], int)
    assert event == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {
            "host": "abc.example:3000",
            "user-agent": "a browser",
            "x-amzn-trace-id": TRACE,
            "x-forwarded-for": "192.0.2.1",
            "x-forwarded-port": "3000",
            "x-forwarded-proto": "http",
        },
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": "local.lambda-url.us-east-1.on.aws",
            "domainPrefix": "local",
            "http": {
                "method": "GET",
                "path": "/",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "a browser",
            },
            "requestId": "request-1",
            "routeKey": "$default",
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }


def test_repeated_parameters_are_joined_and_decoded_but_the_raw_string_is_kept() -> None:
    event = event_of(target="/a%20b?x=1%2C5&x=2&y=&z=%C3%A9")
    assert event["rawQueryString"] == "x=1%2C5&x=2&y=&z=%C3%A9"
    assert event["queryStringParameters"] == {"x": "1,5,2", "y": "", "z": "é"}


def test_the_path_stays_percent_encoded() -> None:
    event = event_of(target="/a%2Fb%20c")
    assert event["rawPath"] == event["requestContext"]["http"]["path"] == "/a%2Fb%20c"


def test_repeated_headers_are_joined_and_hop_by_hop_ones_are_dropped() -> None:
    event = event_of(headers=(("x-a", "1"), ("connection", "close"), ("x-a", "2")))
    assert event["headers"]["x-a"] == "1,2"
    assert "connection" not in event["headers"]


@pytest.mark.parametrize(
    ("host", "port"), [("localhost:3000", "3000"), ("localhost", "80"), ("[::1]:3000", "3000")]
)
def test_the_forwarded_port_is_the_hosts(host: str, port: str) -> None:
    assert event_of(headers=(("host", host),))["headers"]["x-forwarded-port"] == port


def test_cookies_are_listed_and_kept_in_the_headers() -> None:
    event = event_of(headers=(("cookie", "a=1; b=2"), ("cookie", "c=3")))
    assert event["cookies"] == ["a=1", "b=2", "c=3"]
    assert event["headers"]["cookie"] == "a=1; b=2; c=3"


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/XML",
        "application/javascript",
    ],
)
def test_a_text_body_is_given_as_text(content_type: str) -> None:
    event = event_of("é".encode(), headers=(("content-type", content_type),))
    assert (event["body"], event["isBase64Encoded"]) == ("é", False)


@pytest.mark.parametrize(
    "content_type",
    ["", "application/octet-stream", "application/x-www-form-urlencoded", "application/jsonx"],
)
def test_any_other_body_is_base64(content_type: str) -> None:
    event = event_of(b"\x00\xff", headers=(("content-type", content_type),))
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == b"\x00\xff"
