"""The function's DynamoDB: moto in a process of its own, or one that already runs."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from local.environment import CREDENTIALS, REGION
from local.exceptions import CannotStart
from local.log import Log, named
from local.options import PROJECT
from local.process import Process
from local.template import Table
from local.watchdog import Watchdog

START_LIMIT = 30.0
CALL_LIMIT = 10.0
LOOPBACK = "127.0.0.1"
NO_VARIABLES: Mapping[str, str] = {}


@asynccontextmanager
async def moto(watchdog: Watchdog, log: Log, address: str = LOOPBACK) -> AsyncIterator[str]:
    """Run moto's DynamoDB at an address of this machine, and yield its URL.

    Raises:
        CannotStart: it did not start.
    """
    command = [sys.executable, "-m", "local.moto_server", address]
    process = await Process.start(command, cwd=PROJECT, env=None, watchdog=watchdog)
    try:
        lines = process.lines()
        url = await _announced_url(lines)
        copying = asyncio.create_task(_copy(lines, named(log, "dynamodb")))
        try:
            yield url
        finally:
            process.kill()
            await copying
    finally:
        process.kill()
        await process.wait()


async def _announced_url(lines: AsyncIterator[str]) -> str:
    output = []
    with suppress(TimeoutError):
        async with asyncio.timeout(START_LIMIT):
            async for line in lines:
                if line.startswith("http://"):
                    return line
                output.append(line)
    raise CannotStart("\n".join(["moto's DynamoDB did not start. Its output:", *output]))


async def _copy(lines: AsyncIterator[str], log: Log) -> None:
    async for line in lines:
        log(line)


def create_table(url: str, table: Table, environ: Mapping[str, str] = NO_VARIABLES) -> None:
    """Create the table unless it exists, with the credentials of this environment. Blocks.

    Raises:
        CannotStart: there is no DynamoDB at the URL, or it refuses the table.
    """
    description = {
        "TableName": table.name,
        "KeySchema": table.key_schema,
        "AttributeDefinitions": table.attributes,
        "BillingMode": "PAY_PER_REQUEST",
    }
    try:
        signature = _signature({**CREDENTIALS, "AWS_REGION": REGION, **environ})
        refusal = _call(url, signature, "CreateTable", description)
        if not refusal and table.ttl_attribute:
            ttl = {"AttributeName": table.ttl_attribute, "Enabled": True}
            change = {"TableName": table.name, "TimeToLiveSpecification": ttl}
            refusal = _call(url, signature, "UpdateTimeToLive", change)
    except (OSError, HTTPException) as error:
        refusal = str(error)
    if refusal and "ResourceInUseException" not in refusal:
        raise CannotStart(f"the table {table.name} cannot be made at {url}: {refusal}")


def _signature(environ: Mapping[str, str]) -> str:
    """Return a signature that names account and region; local DynamoDBs do not check it."""
    scope = f"{environ['AWS_ACCESS_KEY_ID']}/20000101/{environ['AWS_REGION']}/dynamodb/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"


def _call(url: str, signature: str, operation: str, parameters: object) -> str:
    """Call DynamoDB, and return its error or an empty string.

    boto3 would use the developer's profile and proxies, and is slow to import.
    """
    headers = {
        "Authorization": signature,
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
    }
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=CALL_LIMIT)) as connection:
        connection.request("POST", "/", json.dumps(parameters), headers)
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
    return "" if response.status == HTTPStatus.OK else body
