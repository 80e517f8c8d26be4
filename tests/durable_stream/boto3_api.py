"""DynamoDB through boto3: the judge of our own client."""

import asyncio
from collections.abc import Mapping
from typing import Any

import boto3
from botocore import exceptions
from botocore.config import Config

from durable_stream import StoreRefused, StoreUnavailable
from durable_stream.aws.api import _TRANSIENT, ConditionFailed, Operation

_CONFIG = Config(
    connect_timeout=1,
    read_timeout=1.5,
    retries={"mode": "standard", "total_max_attempts": 2},
    parameter_validation=False,
)
_METHODS: Mapping[Operation, str] = {
    "DeleteItem": "delete_item",
    "GetItem": "get_item",
    "PutItem": "put_item",
    "Query": "query",
    "UpdateItem": "update_item",
}
_SERVER_ERROR = 500


class Boto3Api:
    """`durable_stream.table.Api` on boto3, in threads."""

    def __init__(self) -> None:
        self._client = boto3.client("dynamodb", config=_CONFIG)
        self._closed = False

    async def call(
        self, operation: Operation, request: Mapping[str, object], *, once: bool = False
    ) -> Any:
        assert not once, "no test of both asks for it"
        if self._closed:
            raise StoreUnavailable("this process is about to end")
        return await asyncio.to_thread(self._call, operation, request)

    def close(self) -> None:
        self._closed = True

    def _call(self, operation: Operation, request: Mapping[str, object]) -> Any:
        try:
            return getattr(self._client, _METHODS[operation])(**request)
        except exceptions.ClientError as error:
            code = error.response["Error"]["Code"]
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if code == "ConditionalCheckFailedException":
                raise ConditionFailed(error.response.get("Item")) from None  # type: ignore[arg-type]
            if code in _TRANSIENT or status >= _SERVER_ERROR:
                raise StoreUnavailable(code) from error
            raise StoreRefused(f"{error}") from error
        except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
            raise StoreUnavailable(f"{error}") from error
