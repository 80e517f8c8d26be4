"""Calls of DynamoDB's operations: the attempts of one, its answer, its failures.

DynamoDB developer guide, "Programmatic error handling" and "DynamoDB low-level API".
"""

import asyncio
import json
import os
import random
import string
import time
import zlib
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from durable_stream.aws import credentials
from durable_stream.aws.connections import Connections
from durable_stream.aws.endpoint import SERVICE, Endpoint, resolve
from durable_stream.aws.exceptions import CallFailed, Garbled
from durable_stream.aws.responses import Response
from durable_stream.aws.signing import Signer
from durable_stream.aws.trust import Trust
from durable_stream.exceptions import StoreRefused, StoreUnavailable

Operation: TypeAlias = Literal["DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem"]
Item: TypeAlias = dict[str, dict[str, str]]

# One attempt may take this long, with connecting; the layers above decide how often to call again.
# A writer whose attempt hangs is back within the lease: the next one has a new connection.
ATTEMPT_SECONDS = 1.0
ATTEMPTS = 2
PAUSE_SECONDS = 0.1

_VERSION = "DynamoDB_20120810"
_JSON = "application/x-amz-json-1.0"

_to_json = json.JSONEncoder(separators=(",", ":")).encode
_APP_ID = string.ascii_letters + string.digits + "-._~+"

_OK = 200
_SERVER_ERROR = 500
_CONDITION_FAILED = "ConditionalCheckFailedException"
# As botocore's standard mode has them (AWS SDKs and Tools Reference Guide, "Retry behavior"), and
# DynamoDB's own.
_TRANSIENT = frozenset(
    {
        "BandwidthLimitExceeded",
        "InternalServerError",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflictException",
    }
)


class ConditionFailed(Exception):
    """Raised when a condition does not hold; `item` is the one that is there, if it was asked for.

    It never leaves the modules of the store.
    """

    def __init__(self, item: Item | None) -> None:
        super().__init__(_CONDITION_FAILED)
        self.item = item


class DynamoDB:
    """DynamoDB in one region. `connections` bounds the calls under way.

    `environ` has the settings that botocore knows: region, endpoint, credentials. It is read again
    for each call where credentials may be renewed in it.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ, *, connections: int = 16) -> None:
        endpoint = resolve(environ)
        trust = Trust(environ.get("AWS_CA_BUNDLE") or None) if endpoint.tls else None
        self._connections = Connections(endpoint, trust)
        self._signer = Signer(SERVICE, endpoint.region, endpoint.authority)
        self._credentials = credentials.source(environ, _fetch)
        self._agent = _agent(environ)
        self._free = asyncio.Semaphore(connections)
        self._closed = False

    async def call(
        self, operation: Operation, request: Mapping[str, object], *, once: bool = False
    ) -> Any:
        """The answer of an operation, as JSON's types.

        A call without an answer is made once more, unless it is to happen at most `once`. Raises
        ConditionFailed, StoreUnavailable or StoreRefused.
        """
        body, headers = encoded(operation, request)
        attempts, fresh = 1 if once else ATTEMPTS, once
        async with self._free:
            while True:
                attempts -= 1
                try:
                    return await self._attempt(headers, body, fresh=fresh)
                except CallFailed as error:
                    if attempts == 0:
                        raise StoreUnavailable(f"DynamoDB does not answer: {error}") from error
                    fresh = True
                except StoreUnavailable:
                    if attempts == 0:
                        raise
                    await asyncio.sleep(random.uniform(0, PAUSE_SECONDS))  # noqa: S311

    def close(self) -> None:
        """Make no further call; those under way end by themselves."""
        self._closed = True
        self._connections.close()

    async def _attempt(self, headers: dict[str, str], body: bytes, *, fresh: bool) -> Any:
        if self._closed:
            raise StoreUnavailable("this process is about to end")
        keys = await self._credentials.get()
        signed = self._signer.signed(headers, body, keys, time.time())
        request = _request("POST", "/", {**signed, "user-agent": self._agent}, body)
        return _answer(await self._connections.exchange(request, ATTEMPT_SECONDS, fresh=fresh))


def encoded(operation: Operation, request: Mapping[str, object]) -> tuple[bytes, dict[str, str]]:
    """The body of a request, and the headers that say what it is."""
    body = _to_json(request).encode()
    return body, {"content-type": _JSON, "x-amz-target": f"{_VERSION}.{operation}"}


def _answer(response: Response) -> Any:
    """The answer in a response; raises as `DynamoDB.call`, and Garbled."""
    checksum = response.headers.get("x-amz-crc32")
    if checksum is not None and checksum != str(zlib.crc32(response.body)):
        raise Garbled("the answer was damaged on the way")
    if response.status >= _SERVER_ERROR:
        raise StoreUnavailable(f"DynamoDB answered {response.status}")
    try:
        told = json.loads(response.body)
    except (ValueError, RecursionError):
        raise Garbled("the answer is not JSON") from None
    if not isinstance(told, dict):
        raise Garbled("the answer is no JSON object")
    if response.status == _OK:
        return told
    code = str(told.get("__type", "")).rpartition("#")[2]
    if code == _CONDITION_FAILED:
        raise ConditionFailed(told.get("Item"))
    text = f"DynamoDB answered {response.status} {code}"
    if code in _TRANSIENT:
        raise StoreUnavailable(text)
    raise StoreRefused(f"{text}: {told.get('message') or told.get('Message') or ''}")


def _request(method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += ["accept-encoding: identity", f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def _agent(environ: Mapping[str, str]) -> str:
    """The User-Agent; an application's id is told as AWS SDKs tell it."""
    app = "".join(each for each in environ.get("AWS_SDK_UA_APP_ID", "") if each in _APP_ID)
    return f"durable-stream app/{app}" if app else "durable-stream"


async def _fetch(url: str, authorization: str | None) -> bytes:
    """The body of a URL; raises StoreUnavailable or StoreRefused."""
    parts = urlsplit(url)
    endpoint = Endpoint.of(f"{parts.scheme}://{parts.netloc}", region="")
    headers = {"host": endpoint.authority, "accept": "application/json"}
    if authorization is not None:
        headers["authorization"] = authorization
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    connections = Connections(endpoint, Trust() if endpoint.tls else None)
    try:
        response = await connections.exchange(_request("GET", path, headers, b""), ATTEMPT_SECONDS)
    except CallFailed as error:
        raise StoreUnavailable(f"the container's endpoint does not answer: {error}") from error
    finally:
        connections.close()
    if response.status != _OK:
        raise StoreUnavailable(f"the container's endpoint answered {response.status}")
    return response.body
