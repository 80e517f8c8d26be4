"""The function's DynamoDB: moto in a process of its own, or one that is there already."""

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
NOBODY: Mapping[str, str] = {}


@asynccontextmanager
async def moto(watchdog: Watchdog, log: Log, address: str = LOOPBACK) -> AsyncIterator[str]:
    """Run moto's DynamoDB at an address of this machine, and give its URL.

    Raises:
        CannotStart: it did not come up.
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
    said = []
    with suppress(TimeoutError):
        async with asyncio.timeout(START_LIMIT):
            async for line in lines:
                if line.startswith("http://"):
                    return line
                said.append(line)
    raise CannotStart("\n".join(["moto's DynamoDB did not start; it said:", *said]))


async def _copy(lines: AsyncIterator[str], log: Log) -> None:
    async for line in lines:
        log(line)


def create_table(url: str, table: Table, environ: Mapping[str, str] = NOBODY) -> None:
    """Create the table unless it is there, for a function with this environment. Blocks.

    Raises:
        CannotStart: there is no DynamoDB at the URL, or it does not like the table.
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
    """Local DynamoDBs tell regions and accounts apart by what it names; none checks it."""
    scope = f"{environ['AWS_ACCESS_KEY_ID']}/20000101/{environ['AWS_REGION']}/dynamodb/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"


def _call(url: str, signature: str, operation: str, parameters: object) -> str:
    """Call DynamoDB and give what it says if it refuses.

    Not through boto3, which would follow the developer's profile and proxies, and take its time.
    """
    headers = {
        "Authorization": signature,
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
    }
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=CALL_LIMIT)) as connection:
        connection.request("POST", "/", json.dumps(parameters), headers)
        response = connection.getresponse()
        said = response.read().decode(errors="replace")
    return "" if response.status == HTTPStatus.OK else said
