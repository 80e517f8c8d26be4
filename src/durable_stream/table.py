"""The DynamoDB table: how it is called, and the meaning of its failures.

boto3 blocks, so every call crosses into a thread. Its client takes long to make. It is made with
the table, not by the first call: Lambda initialises a sandbox on a whole processor, but at 512 MB
the function later gets a third of one, while a user is waiting.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import boto3
from botocore import exceptions
from botocore.config import Config

from durable_stream.exceptions import NoTable, StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

    Key = dict[str, AttributeValueTypeDef]

T = TypeVar("T")

# One call may take this long; the layers above decide how often to try again.
_CONNECT_SECONDS = 1
_READ_SECONDS = 1.5
_ATTEMPTS = 2

# SAM CLI takes the logical id in template.yaml for the table's name.
UNDER_SAM_LOCAL = "StreamTable"

_ENDPOINTS = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL")

_ENDING = "this process is about to end"

_SERVER_ERROR = 500
_TRANSIENT = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "ThrottlingException",
        "TransactionConflictException",
    }
)


class Table:
    """One DynamoDB table. `connections` bounds the calls under way."""

    def __init__(self, name: str, *, connections: int = 16) -> None:
        self.name = name
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="dynamodb")
        self._closed = False
        self._missing = is_missing(name, os.environ)
        with _translated():
            self._client = _connect(connections, attempts=_ATTEMPTS)
            self._single_client = _connect(connections, attempts=1)

    async def call(self, operation: Callable[["DynamoDBClient"], T]) -> T:
        """The result of an operation on the client; raises StoreUnavailable or StoreRefused.

        The operation runs in a thread. A call whose answer is lost is made once more.
        """
        return await self._in_thread(operation, self._client)

    async def call_once(self, operation: Callable[["DynamoDBClient"], T]) -> T:
        """As `call`, for an operation that must not happen twice: no call is repeated."""
        return await self._in_thread(operation, self._single_client)

    def close(self) -> None:
        """Release the threads; calls under way are not waited for, later ones are not made."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(
        self, operation: Callable[["DynamoDBClient"], T], client: "DynamoDBClient"
    ) -> T:
        def run() -> T:
            with _translated():
                return operation(client)

        if self._closed:
            raise StoreUnavailable(_ENDING)
        if self._missing:
            raise NoTable(f"nothing says where the table {self.name} is")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, run)
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            # `close` has cancelled the call, which had no thread yet, and not the waiting task.
            raise StoreUnavailable(_ENDING) from None


def is_missing(name: str, environ: Mapping[str, str]) -> bool:
    """Tell if this runs under `sam local` without a table, which SAM CLI does not make."""
    on_its_own = "AWS_SAM_LOCAL" in environ and not any(map(environ.get, _ENDPOINTS))
    return on_its_own and name == UNDER_SAM_LOCAL


def key(partition: str, seq: int) -> "Key":
    """The primary key of an item."""
    return {"stream_id": {"S": partition}, "seq": {"N": str(seq)}}


def _is_cancelled() -> bool:
    """True if the running task itself was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _connect(connections: int, *, attempts: int) -> "DynamoDBClient":
    return boto3.client(
        "dynamodb",
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=connections,
            parameter_validation=False,
            tcp_keepalive=True,
        ),
    )


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn botocore's errors into ours: the one border they cross."""
    try:
        yield
    except exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if code in _TRANSIENT or status >= _SERVER_ERROR:
            raise StoreUnavailable(f"DynamoDB answered {status} {code}") from error
        raise StoreRefused(f"DynamoDB refused: {error}") from error
    except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
        raise StoreUnavailable(f"DynamoDB does not answer: {error}") from error
    except exceptions.BotoCoreError as error:
        raise StoreRefused(f"DynamoDB cannot be called: {error}") from error
