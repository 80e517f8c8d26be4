"""Makes the event of a function URL from an HTTP request, in payload format 2.0.

Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html. Recorded events show
three more rules: the path stays percent-encoded (unlike an HTTP API's), cookies are both in
`cookies` and in the headers, and empty fields are omitted.
"""

import base64
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from local.hosts import split_host
from local.http1 import Request

ACCOUNT = "anonymous"
URL_ID = "local"
# AWS's name and not this machine's: a function recognises a function URL by it.
DOMAIN = f"{URL_ID}.lambda-url.us-east-1.on.aws"
# A body of any other content type, or of none, is base64-encoded.
TEXT = re.compile(r"(text/.+|application/(json|xml|javascript))\s*(;.*)?", re.IGNORECASE)
HOP_BY_HOP = frozenset({"connection", "expect", "keep-alive", "te", "transfer-encoding", "upgrade"})


def function_url_event(request: Request, body: bytes, request_id: str, trace_id: str) -> bytes:
    """Return the JSON event that a function URL makes from a request."""
    now = datetime.now(UTC)
    headers = _headers(request, trace_id)
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query,
        "cookies": [cookie for cookie in headers.get("cookie", "").split("; ") if cookie],
        "headers": headers,
        "queryStringParameters": _joined(parse_qsl(request.query, keep_blank_values=True)),
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": URL_ID,
            "domainName": DOMAIN,
            "domainPrefix": URL_ID,
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": request.protocol,
                "sourceIp": request.peer,
                "userAgent": request.header("user-agent"),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S %z"),
            "timeEpoch": int(now.timestamp() * 1000),
        },
        **_body(body, request.header("content-type")),
    }
    for optional in ("cookies", "queryStringParameters"):
        if not event[optional]:
            del event[optional]
    return json.dumps(event).encode()


def _headers(request: Request, trace_id: str) -> dict[str, str]:
    cookies = "; ".join(value for name, value in request.headers if name == "cookie")
    headers = _joined(
        (name, value)
        for name, value in request.headers
        if name not in HOP_BY_HOP and name != "cookie"
    )
    added = {
        "x-amzn-trace-id": trace_id,
        "x-forwarded-for": request.peer,
        "x-forwarded-port": split_host(request.header("host"))[1] or "80",
        "x-forwarded-proto": "http",
    }
    return headers | ({"cookie": cookies} if cookies else {}) | added


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _body(body: bytes, content_type: str) -> dict[str, object]:
    if not body:
        return {"isBase64Encoded": False}
    if TEXT.fullmatch(content_type):
        return {"body": body.decode(errors="replace"), "isBase64Encoded": False}
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
