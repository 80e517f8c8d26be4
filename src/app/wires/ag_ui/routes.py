"""The routes of AG-UI: to run an agent, and to cancel a run.

The protocol has no request to cancel.
"""

from collections.abc import Sequence

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from app.api.deps import Context, ContextDep, CreatorDep, from_no_other_site
from app.api.errors import Told
from app.api.responses import Opening, ReadingResponse
from app.wires import bodies, routes
from app.wires.ag_ui import runs
from app.wires.ag_ui.rendering import Run
from app.wires.ag_ui.requests import RunInput, RunName
from app.wires.ag_ui.response import Frames
from app.wires.rendering import Json
from durable_stream import Reading, StreamNotFound, status


def _shaped(told: Told) -> Response:
    """The answer for an error; a client shows the body."""
    error = {"code": told.code, "message": told.message, "param": told.param}
    return JSONResponse({"error": error}, told.status, told.headers)


router = APIRouter(
    prefix="/ag-ui",
    route_class=routes.creating(_shaped),
    dependencies=[Depends(from_no_other_site)],
    include_in_schema=False,
)


@router.post("")
async def run_default(request: Request, context: ContextDep, creator: CreatorDep) -> Response:
    """Run the default agent, or continue a run."""
    return await _run(None, request, context, creator)


@router.post("/{agent}")
async def run_agent(
    agent: str, request: Request, context: ContextDep, creator: CreatorDep
) -> Response:
    """Run an agent, or continue a run."""
    return await _run(agent, request, context, creator)


@router.post("/runs/cancel")
async def cancel_run(request: Request, context: ContextDep, creator: CreatorDep) -> Response:
    """Cancel a run for all its readers; one that has ended stays as it is."""
    name = await bodies.parsed(request, RunName)
    found = await runs.find(name, creator, context)
    if found is None:
        raise StreamNotFound
    newest = (await context.streams.cancel(found.stream_id)).newest
    lease = context.settings.timing.lease
    told = {"status": status(newest, now=context.clock.now(), lease=lease)}
    return JSONResponse({"threadId": name.threadId, "runId": name.runId, **told})


async def _run(agent: str | None, request: Request, context: Context, creator: str) -> Response:
    body = await bodies.parsed(request, RunInput)
    found = await runs.find(body, creator, context)
    run = found or await runs.begin(body, agent, creator, context)
    if isinstance(run, Reading):
        return _response(run, Frames(_named(body, body.others(run.stream_id))), context)
    newest = await context.streams.newest(run.stream_id)
    frames = Frames(_named(body, runs.asked(run, body, context)), continued=newest)
    return _response(runs.reader(run, creator, context), frames, context)


def _named(body: RunInput, messages: Sequence[Json]) -> Run:
    return Run(body.threadId, body.runId, messages, body.protocolVersion)


def _response(reading: Reading | Opening, frames: Frames, context: Context) -> Response:
    padding = context.settings.event_source.padding_bytes
    return ReadingResponse(reading, context.window, frames, padding=padding)
