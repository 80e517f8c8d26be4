"""The application without its log: an appended record counts as written at once."""

import os

from app import models
from app.application import create_app
from app.events import REGISTRY
from app.settings import Settings
from durable_stream import Record, Store
from durable_stream.dynamodb import DynamoDBStore
from durable_stream.table import Table
from lambda_stream import Adapter


class ForgetfulStore(DynamoDBStore):
    """Acknowledges every record, and keeps none."""

    async def append(self, _record: Record) -> None:
        """Append nothing."""


def forgetful(table: Table) -> Store:
    """A store that keeps nothing."""
    return ForgetfulStore(table, REGISTRY)


settings = Settings.from_environ(os.environ)
app = create_app(settings, models.create(settings.provider, os.environ), store=forgetful)
handler = Adapter(app)
