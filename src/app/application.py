"""The ASGI application, over a table and a model."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

from app import metrics
from app.agent import AGENTS
from app.agents import Agents, AnyAgent
from app.api import assets, errors, headers, kinds, routes
from app.api.deps import closed_unless_public
from app.api.inputs import Inputs
from app.api.openapi import DescribedApp
from app.events import REGISTRY
from app.gate import Gate, OpenGate
from app.log import RequestIdInLog, StreamInLog
from app.models.base import Provider
from app.pointers import Pointers
from app.producer import AgentProducer
from app.settings import APP_NAME, Settings
from durable_stream import AllHooks, Clock, Engine, Hooks, Registry, Store, Streams, Timing
from durable_stream.dynamodb import DynamoDBStore
from durable_stream.table import Table

MakeHooks = Callable[[Table, Timing, Clock], Hooks]


class State(TypedDict):
    """The objects that the lifespan gives to every request."""

    settings: Settings
    model: Provider
    streams: Streams
    inputs: Inputs
    gate: Gate
    clock: Clock
    pointers: Pointers


def watching(_table: Table, _timing: Timing, _clock: Clock) -> Hooks:
    """The hooks that report the work of the engine: log lines and metrics."""
    return AllHooks([StreamInLog(), metrics.Metrics()])


def create_app(
    settings: Settings,
    model: Provider,
    *,
    gate: Gate | None = None,
    agents: Iterable[AnyAgent] = AGENTS,
    hooks: Sequence[MakeHooks] = (watching,),
    wires: Iterable[APIRouter] = (),
    events: Registry = REGISTRY,
    store: Callable[[Table], Store] | None = None,
    clock: Clock | None = None,
) -> FastAPI:
    """The application that runs agents, with a model at hand. The first agent is the default.

    Without a gate all callers are let in. `hooks` are made with the table when the process starts.
    `wires` are the routes for other clients. `events` are those that the log can hold; without a
    `store` the log is in DynamoDB.
    """
    gate, clock = gate or OpenGate(), clock or Clock()
    known = Agents(agents)
    inputs = Inputs(known, model.models, settings.prompts)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        table = Table(settings.table_name, connections=settings.connections)
        engine = Engine(
            store=store(table) if store else DynamoDBStore(table, events),
            producer=AgentProducer(known, model),
            hooks=AllHooks([make(table, settings.timing, clock) for make in hooks]),
            timing=settings.timing,
            policy=settings.retry,
            clock=clock,
        )
        streams = Streams(engine)
        await asyncio.gather(gate.preload(), model.preload())
        metrics.started()
        yield State(
            settings=settings,
            model=model,
            streams=streams,
            inputs=inputs,
            gate=gate,
            clock=clock,
            pointers=Pointers(table, clock, settings.timing.stream_ttl),
        )
        await streams.close()
        await model.close()
        table.close()

    app = DescribedApp(
        gate.mode,
        title=APP_NAME,
        summary="LLM answers as Server-Sent Events that survive any failure.",
        version="0.1.0",
        lifespan=lifespan,
        # It runs scripts of another host, which must not meet the tokens that our page holds.
        docs_url=headers.DOCS if gate.mode == "open" else None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(closed_unless_public)],
    )
    app.add_middleware(assets.StageWithSlash)
    app.add_middleware(errors.UnexpectedErrors)
    app.add_middleware(RequestIdInLog)
    if settings.allowed_origins:
        app.add_middleware(CORSMiddleware, **headers.cross_origin(settings.allowed_origins))
    app.add_middleware(headers.SecurityHeaders)
    errors.install(app)
    told = [Depends(kinds.told(events))]
    app.include_router(routes.creating(inputs), dependencies=told)
    app.include_router(routes.router, dependencies=told)
    for wire in wires:
        app.include_router(wire)
    app.include_router(assets.router)
    return app
