"""The function's DynamoDB: moto in a process of its own, or one that is there already."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from local.environment import CREDENTIALS, REGION
from local.exceptions import CannotStart
from local.log import Log, named
from local.options import PROJECT
from local.process import Process
from local.template import Table
from local.watchdog import Watchdog

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import CreateTableInputTypeDef

START_LIMIT = 30.0
# The developer's profile and config file are not the function's.
NO_CONFIG_FILE = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


@asynccontextmanager
async def moto(watchdog: Watchdog, log: Log) -> AsyncIterator[str]:
    """Run moto's DynamoDB and give its URL.

    Raises:
        CannotStart: it did not come up.
    """
    command = [sys.executable, "-m", "local.moto_server"]
    process = await Process.start(command, cwd=PROJECT, env=None, watchdog=watchdog)
    lines = process.lines()
    try:
        async with asyncio.timeout(START_LIMIT):
            url = await anext(lines, "")
        if not url.startswith("http://"):
            process.kill()
            said = "\n".join([url, *[line async for line in lines]])
            raise CannotStart(f"moto's DynamoDB did not start; it said:\n{said}")
        copying = asyncio.create_task(_copy(lines, named(log, "dynamodb")))
        yield url
    finally:
        process.kill()
        await process.wait()
    await copying


async def _copy(lines: AsyncIterator[str], log: Log) -> None:
    async for line in lines:
        log(line)


def create_table(url: str, table: Table) -> None:
    """Create the table unless it is there. Blocks.

    Raises:
        CannotStart: there is no DynamoDB at the URL, or it does not like the table.
    """
    client = boto3.Session(botocore_session=Session(NO_CONFIG_FILE)).client(
        "dynamodb",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 2}),
    )
    description = {
        "TableName": table.name,
        "KeySchema": table.key_schema,
        "AttributeDefinitions": table.attributes,
        "BillingMode": "PAY_PER_REQUEST",
    }
    try:
        client.create_table(**cast("CreateTableInputTypeDef", description))
        if table.ttl_attribute is not None:
            client.update_time_to_live(
                TableName=table.name,
                TimeToLiveSpecification={"AttributeName": table.ttl_attribute, "Enabled": True},
            )
    except client.exceptions.ResourceInUseException:
        pass
    except (BotoCoreError, ClientError) as error:
        raise CannotStart(f"the table {table.name} cannot be made at {url}: {error}") from error
    finally:
        client.close()
