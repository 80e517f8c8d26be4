"""Decodes a function's result into the head and body of an HTTP response; no I/O.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

import base64
import binascii
import json
from dataclasses import dataclass

from local.exceptions import MalformedAnswer

INTEGRATION_RESPONSE = "application/vnd.awslambda.http-integration-response"
DELIMITER = bytes(8)
# API Gateway requires the delimiter within the first 16 KB; function URLs document no limit.
MAX_PRELUDE_SIZE = 16 * 1024
# A function URL sets these headers itself, and returns the function's values under this prefix.
REMAPPED = frozenset({"connection", "content-length", "date"})
REMAPPED_PREFIX = "x-amzn-remapped-"
STATUSES = range(200, 600)
DROPPED = frozenset({"keep-alive", "transfer-encoding", "upgrade"})


@dataclass(frozen=True)
class Head:
    """Status and headers of a response; each cookie is a `set-cookie` header."""

    status: int
    headers: tuple[tuple[str, str], ...]


def split_prelude(data: bytes) -> tuple[Head, bytes] | None:
    """Split a streamed answer into head and body; None while the JSON prelude is incomplete.

    Raises:
        MalformedAnswer: the prelude is not a response's head, or has no end.
    """
    prelude, delimiter, body = data.partition(DELIMITER)
    if delimiter:
        return _head(_json(prelude), default_type="application/octet-stream"), body
    if len(data) > MAX_PRELUDE_SIZE:
        raise MalformedAnswer("no end of the prelude (eight NUL bytes) in the first 16 KiB")
    return None


def buffered_answer(payload: bytes) -> tuple[Head, bytes]:
    """Decode a buffered result: a proxy result, or any other JSON value.

    Raises:
        MalformedAnswer: it is not JSON, or not a proxy result that can be sent.
    """
    value = _json(payload)
    if not (isinstance(value, dict) and "statusCode" in value):
        return Head(200, (("content-type", "application/json"),)), payload
    body = value.get("body") or ""
    if not isinstance(body, str):
        raise MalformedAnswer("body is not a string")
    head = _head(value, default_type="application/json")
    if not value.get("isBase64Encoded"):
        return head, body.encode()
    try:
        return head, base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise MalformedAnswer(f"body is not base64: {error}") from error


def _json(data: bytes) -> object:
    try:
        return json.loads(data)
    except ValueError as error:
        raise MalformedAnswer(f"not JSON: {error}") from error


def _head(value: object, default_type: str) -> Head:
    match value:
        case {"statusCode": int(status), **rest} if status in STATUSES:
            pass
        case _:
            raise MalformedAnswer("there is no statusCode between 200 and 599")
    headers, cookies = rest.get("headers") or {}, rest.get("cookies") or []
    if not isinstance(headers, dict) or not isinstance(cookies, list):
        raise MalformedAnswer("headers is not an object, or cookies is not a list")
    pairs = [(_outgoing_name(str(name).lower()), str(text)) for name, text in headers.items()]
    if not any(name == "content-type" for name, _ in pairs):
        pairs.append(("content-type", default_type))
    pairs += [("set-cookie", str(cookie)) for cookie in cookies]
    return Head(status, tuple(pair for pair in pairs if pair[0] not in DROPPED))


def _outgoing_name(name: str) -> str:
    return REMAPPED_PREFIX + name if name in REMAPPED else name
