"""The ASGI application, over a table and a model."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI

from app.api import assets, errors, routes
from app.event_log.dynamodb import DynamoDBLog
from app.generation.streams import Streams
from app.log import RequestIdInLog
from app.providers.base import Provider
from app.settings import Settings
from app.table import Table


class State(TypedDict):
    """What the lifespan gives to every request."""

    settings: Settings
    provider: Provider
    streams: Streams


def create_app(settings: Settings, provider: Provider) -> FastAPI:
    """The application over a table and a model."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        table = Table(settings.table_name, connections=settings.connections)
        streams = Streams(DynamoDBLog(table), provider, settings)
        yield State(settings=settings, provider=provider, streams=streams)
        await streams.close()
        await provider.close()
        table.close()

    app = FastAPI(
        title="Lambda LLM stream",
        summary="LLM answers as Server-Sent Events that survive any failure.",
        version="0.1.0",
        lifespan=lifespan,
        redoc_url=None,
    )
    app.add_middleware(RequestIdInLog)
    errors.install(app)
    app.include_router(routes.router)
    app.include_router(assets.router)
    return app
