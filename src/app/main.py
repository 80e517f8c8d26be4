"""The application, and the handler that Lambda calls: `app.main.handler`.

`app` is a plain ASGI application; any ASGI server runs it as well:

    TABLE_NAME=… uvicorn app.main:app
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI

from app import providers
from app.api import assets, errors, routes
from app.event_log.dynamodb import DynamoDBLog
from app.generation.streams import Streams
from app.providers.base import Provider
from app.settings import Settings
from lambda_stream import Adapter


class State(TypedDict):
    """What the lifespan gives to every request."""

    settings: Settings
    provider: Provider
    streams: Streams


def create_app(settings: Settings, provider: Provider) -> FastAPI:
    """The application over a table and a model."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        log = DynamoDBLog(settings.table_name, connections=settings.connections)
        streams = Streams(log, provider, settings)
        yield State(settings=settings, provider=provider, streams=streams)
        await streams.close()
        log.close()

    app = FastAPI(
        title="Lambda LLM stream",
        summary="LLM answers as Server-Sent Events that survive any failure.",
        version="0.1.0",
        lifespan=lifespan,
        redoc_url=None,
    )
    errors.install(app)
    app.include_router(routes.router)
    app.include_router(assets.router)
    return app


settings = Settings.from_environ(os.environ)
app = create_app(settings, providers.create(settings.provider, os.environ))
handler = Adapter(app)
