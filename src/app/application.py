"""The ASGI application, over a table and a model."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from app import metrics
from app.access.gate import Gate
from app.api import assets, errors, headers, routes
from app.api.openapi import DescribedApp
from app.limits.budget import Budget
from app.limits.connects import Connects
from app.limits.counters import Counters
from app.log import RequestIdInLog
from app.models.base import Provider
from app.settings import Settings
from durable_stream.dynamodb import DynamoDBLog
from durable_stream.streams import Streams
from durable_stream.table import Table


class State(TypedDict):
    """What the lifespan gives to every request."""

    settings: Settings
    provider: Provider
    streams: Streams
    connects: Connects
    gate: Gate


def create_app(settings: Settings, provider: Provider, gate: Gate) -> FastAPI:
    """The application over a table and a model, behind a gate."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        table = Table(settings.table_name, connections=settings.connections)
        counters = Counters(table)
        budget, connects = Budget(counters, settings.limits), Connects(counters, settings.limits)
        streams = Streams(DynamoDBLog(table), provider, budget, settings)
        await gate.open_up()
        metrics.started()
        yield State(
            settings=settings, provider=provider, streams=streams, connects=connects, gate=gate
        )
        await streams.close()
        await provider.close()
        table.close()

    app = DescribedApp(
        gate.mode,
        title="Lambda LLM stream",
        summary="LLM answers as Server-Sent Events that survive any failure.",
        version="0.1.0",
        lifespan=lifespan,
        # It runs scripts of another host, which must not meet the tokens that our page holds.
        docs_url=headers.DOCS if gate.mode == "open" else None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(assets.StageWithSlash)
    app.add_middleware(errors.UnexpectedErrors)
    app.add_middleware(RequestIdInLog)
    if settings.allowed_origins:
        app.add_middleware(CORSMiddleware, **headers.cross_origin(settings.allowed_origins))
    app.add_middleware(headers.SecurityHeaders)
    errors.install(app)
    app.include_router(routes.router)
    app.include_router(assets.router)
    return app
