"""The DynamoDB table: its items, and the operations that this project needs."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from durable_stream.aws.api import ConditionFailed, DynamoDB, Item, Operation
from durable_stream.exceptions import NoTable, StoreUnavailable

# SAM CLI takes the logical id in template.yaml for the table's name.
UNDER_SAM_LOCAL = "StreamTable"

_ENDPOINTS = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL")

_IS_NEW = "attribute_not_exists(stream_id)"


class Api(Protocol):
    """DynamoDB's operations, by their names."""

    async def call(
        self, operation: Operation, request: Mapping[str, object], *, once: bool = False
    ) -> Any: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Found:
    """Items of a query, in their order. `cut` says that the page ended before the query did."""

    items: Sequence[Item]
    cut: bool


class Table:
    """One DynamoDB table. `connections` bounds the calls under way.

    Every method raises StoreUnavailable or StoreRefused. A call whose answer is lost is made once
    more, unless it is to happen at most `once`.
    """

    def __init__(
        self,
        name: str,
        *,
        connections: int = 16,
        environ: Mapping[str, str] = os.environ,
        api: Api | None = None,
    ) -> None:
        self.name = name
        self._missing = is_missing(name, environ)
        self._api = api or DynamoDB(environ, connections=connections)

    async def put(self, item: Item) -> None:
        """Put an item in place of the one with its key."""
        await self._call("PutItem", {"Item": item})

    async def put_new(self, item: Item) -> Item | None:
        """Put an item where none is and return None, else the one that is there."""
        request = {
            "Item": item,
            "ConditionExpression": _IS_NEW,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        try:
            await self._call("PutItem", request)
        except ConditionFailed as failed:
            if failed.item is None:
                raise StoreUnavailable("DynamoDB did not tell which item is there") from None
            return failed.item
        return None

    async def get(
        self, key: Item, *, consistent: bool = True, projection: str | None = None
    ) -> Item | None:
        """The item with a key, or its attributes in the projection; None if there is none."""
        request: dict[str, object] = {"Key": key, "ConsistentRead": consistent}
        if projection is not None:
            request["ProjectionExpression"] = projection
        item: Item | None = (await self._call("GetItem", request)).get("Item")
        return item

    async def query(
        self,
        condition: str,
        values: Mapping[str, Mapping[str, str]],
        *,
        limit: int,
        consistent: bool,
        newest_first: bool = False,
    ) -> Found:
        """The items of one partition that meet a condition on their key, at most `limit`."""
        answer = await self._call(
            "Query",
            {
                "KeyConditionExpression": condition,
                "ExpressionAttributeValues": values,
                "Limit": limit,
                "ConsistentRead": consistent,
                "ScanIndexForward": not newest_first,
            },
        )
        items = answer.get("Items")
        if not isinstance(items, list):
            # No items would be read as a stream that does not exist.
            raise StoreUnavailable("the answer of a query has no items")
        return Found(items, "LastEvaluatedKey" in answer)

    async def update(
        self,
        key: Item,
        expression: str,
        condition: str,
        values: Mapping[str, Mapping[str, str]],
        *,
        once: bool = False,
    ) -> bool:
        """Update an item and return True; False if the condition does not hold."""
        request = {
            "Key": key,
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
        }
        try:
            await self._call("UpdateItem", request, once=once)
        except ConditionFailed:
            return False
        return True

    async def delete(self, key: Item) -> None:
        """Delete the item with a key, if there is one."""
        await self._call("DeleteItem", {"Key": key})

    def close(self) -> None:
        """Make no further call; those under way are not waited for."""
        self._api.close()

    async def _call(
        self, operation: Operation, request: Mapping[str, object], *, once: bool = False
    ) -> Any:
        if self._missing:
            raise NoTable(f"nothing says where the table {self.name} is")
        return await self._api.call(operation, {"TableName": self.name, **request}, once=once)


def is_missing(name: str, environ: Mapping[str, str]) -> bool:
    """Tell if this runs under `sam local` without a table, which SAM CLI does not make."""
    on_its_own = "AWS_SAM_LOCAL" in environ and not any(map(environ.get, _ENDPOINTS))
    return on_its_own and name == UNDER_SAM_LOCAL


def key(partition: str, seq: int) -> Item:
    """The primary key of an item."""
    return {"stream_id": {"S": partition}, "seq": {"N": str(seq)}}
