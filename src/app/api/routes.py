"""The routes of the wire."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from app.api import bodies
from app.api.deps import (
    CURSOR,
    Bearer,
    Context,
    ContextDep,
    CreatorDep,
    CredentialsDep,
    IdempotencyKey,
    LastEventId,
    StreamId,
    admit_creator,
    creator,
    from_no_other_site,
    public,
)
from app.api.following import followed
from app.api.frames import Frames
from app.api.inputs import Inputs
from app.api.openapi import EVENTS, NOTHING_LEFT, STREAMING, refusals
from app.api.responses import (
    Opening,
    ReadingResponse,
    nothing_left,
    retry_reading,
    retry_refused,
    retry_response,
)
from app.api.schemas import (
    AgentInfo,
    CreatedStream,
    CreateStream,
    Health,
    MaxTokens,
    Snapshot,
    StopSequences,
    Temperature,
)
from app.api.snapshots import snapshot, url
from app.api.sse import Cursor
from app.events import Start
from app.exceptions import RequestRefused, RetryLater, SecretError, SecretUnavailable, Unauthorized
from app.gate import Credentials
from durable_stream import Reading, Record, StoreUnavailable
from durable_stream.creation import derived_id

router = APIRouter(responses=refusals(500))


def creating(inputs: Inputs) -> APIRouter:
    """The route that creates streams from these inputs."""
    router = APIRouter(route_class=bodies.bounded(admit_creator), responses=refusals(500))

    @router.post(
        "/streams",
        status_code=201,
        response_model=CreatedStream,
        responses={200: EVENTS, **refusals(400, 401, 404, 409, 413, 422, 429, 503)},
        summary="Create a stream",
    )
    async def create_stream(
        body: inputs.body,  # type: ignore[name-defined]
        response: Response,
        context: ContextDep,
        creator: CreatorDep,
        idempotency_key: IdempotencyKey = None,
        *,
        last_event_id: LastEventId = None,
        stream: Annotated[bool, Query(description="Answer with the events themselves.")] = False,
    ) -> Any:
        """Create a stream that its first reader starts, or, with `?stream=true`, read it.

        A client that comes back with the same body, the same Idempotency-Key and its Last-Event-ID
        is sent the events behind that one.
        """
        cursor = _cursor_of_key(last_event_id, idempotency_key, creator) if stream else None
        start = inputs.start(body, creator, await followed(body, creator, context))
        if cursor is not None and idempotency_key is not None:
            return await _resume_creation(start, idempotency_key, cursor, context)
        if stream:
            reading = await context.streams.create_and_read(start, idempotency_key, context.window)
            return _read(reading, context)
        record = await context.streams.create(start, idempotency_key)
        return await _created(record, start, response, context)

    return router


def _cursor_of_key(text: str | None, key: str | None, owner: str) -> Cursor | None:
    """The cursor of a client that sends the request of its stream again."""
    if not text:
        return None
    if key is None:
        raise RequestRefused(
            400,
            "no_idempotency_key",
            "A Last-Event-ID names a stream that exists, and without an Idempotency-Key this "
            "request would create another: send the Idempotency-Key that the stream was created "
            "with, or leave the Last-Event-ID out.",
        )
    return Cursor.parse(text, derived_id(owner, key))


async def _resume_creation(start: Start, key: str, cursor: Cursor, context: Context) -> Response:
    """The answer to a client that has sent the request of its stream again, after a cut.

    If it has all, a clean end without events, not 204: @microsoft/fetch-event-source takes a 204
    for a failure, since it has no content type, and comes back without end.
    """
    present = await context.streams.repeated(start, key)
    reading = None
    if not cursor.at_end:
        reading = await _behind(present.stream_id, cursor, start.owner, context)
    if reading is None:
        return nothing_left(context.settings.event_source)
    return _read(reading, context)


async def _created(
    record: Record, start: Start, response: Response, context: Context
) -> CreatedStream:
    token = await context.gate.token(record.stream_id, start.owner, record.expires_at)
    response.headers["Location"] = url(context, record.stream_id)
    return CreatedStream(
        id=record.stream_id,
        agent=start.agent,
        model=start.model,
        token=token,
        events_url=url(context, record.stream_id, "/events", token),
        url=url(context, record.stream_id, token=token),
        cancel_url=url(context, record.stream_id, "/cancel", token),
    )


@router.get(
    "/streams/{stream_id}/events",
    response_class=Response,
    responses={200: EVENTS, 204: NOTHING_LEFT, **refusals(400, 401, 404, 422)},
    openapi_extra=STREAMING,
    summary="Read a stream",
)
@public
async def read_events(
    stream_id: StreamId,
    context: ContextDep,
    credentials: CredentialsDep,
    last_event_id: LastEventId = None,
    last_event_id_query: Annotated[
        str | None,
        Query(
            alias="last_event_id",
            description="For clients that cannot set the header.",
            json_schema_extra=CURSOR,
        ),
    ] = None,
) -> Response:
    """Send the events behind the last one received, then those to come, up to the end."""
    text = last_event_id or last_event_id_query
    cursor = Cursor.parse(text, stream_id) if text else None
    return await _resume(stream_id, cursor, context, credentials)


@router.get(
    "/streams/{stream_id}",
    response_model=Snapshot,
    responses=refusals(401, 404, 422, 503),
    summary="Look at a stream",
)
@public
async def show_stream(stream_id: StreamId, context: ContextDep, credentials: CredentialsDep) -> Any:
    """Tell how far a stream has come, without waiting."""
    await context.admit(credentials, stream_id)
    return await snapshot(await context.streams.history(stream_id), context)


@router.post(
    "/streams/{stream_id}/cancel",
    response_model=Snapshot,
    responses=refusals(401, 404, 422, 503),
    summary="Cancel a stream",
)
@public
async def cancel_stream(
    stream_id: StreamId, context: ContextDep, credentials: CredentialsDep
) -> Any:
    """End a stream for all its readers; one that has ended stays as it is."""
    await context.admit(credentials, stream_id)
    return await snapshot(await context.streams.cancel(stream_id), context)


@router.get(
    "/sse",
    response_class=Response,
    responses={200: EVENTS, 204: NOTHING_LEFT, **refusals(400, 401, 403, 404, 409, 413, 422)},
    openapi_extra=STREAMING,
    summary="Create and read in one",
    dependencies=[Depends(from_no_other_site)],
)
@public
async def create_and_read(
    prompt: Annotated[
        str, Query(description="The question to answer.", json_schema_extra={"pattern": r"\S"})
    ],
    context: ContextDep,
    credentials: CredentialsDep,
    last_event_id: LastEventId = None,
    *,
    previous: Annotated[str | None, Query(description="The stream that this one follows.")] = None,
    agent: Annotated[str | None, Query(description="One of `/healthz`'s.")] = None,
    model: Annotated[str | None, Query()] = None,
    max_tokens: Annotated[MaxTokens | None, Query()] = None,
    temperature: Annotated[Temperature | None, Query()] = None,
    system: Annotated[str | None, Query()] = None,
    stop: Annotated[StopSequences | None, Query()] = None,
) -> Response:
    """Be all that `new EventSource("/sse?prompt=…")` needs.

    When the browser reconnects, its Last-Event-ID names the stream, which is resumed. Over a
    limit, the answer is one `error` event without an id, and when to come back.
    """
    if last_event_id:
        cursor = Cursor.parse(last_event_id)
        return await _resume(cursor.stream_id, cursor, context, credentials)
    try:
        creator = await context.gate.creator(credentials)
    except SecretUnavailable as error:
        return retry_response(error, context.settings.event_source)
    if not prompt.strip():
        raise RequestRefused(422, "invalid_request", "`prompt` is empty: say what to answer.")
    query = CreateStream(
        agent=agent,
        prompt=prompt,
        messages=None,
        previous=previous or None,  # A form sends an empty member.
        model=model,
        max_tokens=max_tokens,
        temperature=temperature,
        system=system,
        stop=stop,
    )
    try:
        before = await followed(query, creator, context)
        start = context.inputs.start_of_query(creator, query, before)
        reading = await context.streams.create_and_read(start, None, context.window)
    except RetryLater as error:
        return retry_refused(error)
    except StoreUnavailable as error:
        return retry_response(error, context.settings.event_source)
    return _read(reading, context)


@router.get(
    "/healthz",
    response_model_exclude_none=True,
    openapi_extra={"security": [{}]},
    summary="Be alive",
)
@public
async def healthz(context: ContextDep, bearer: Bearer) -> Health:
    """Answer without asking the store or the provider; tell strangers nothing else."""
    alive = Health(status="ok", access=context.gate.mode)
    try:
        await creator(context, bearer)
    except (Unauthorized, SecretError):
        return alive
    agents = context.inputs.agents.by_name.values()
    return alive.model_copy(
        update={
            "provider": context.settings.provider,
            "models": list(context.model.models),
            "agents": [AgentInfo(name=a.name, description=a.description) for a in agents],
        }
    )


async def _resume(
    stream_id: str, cursor: Cursor | None, context: Context, credentials: Credentials
) -> Response:
    wire = _frames(context, cursor or Cursor(stream_id, 0))
    try:
        owner = await context.admit(credentials, stream_id)
        if cursor is not None and cursor.at_end:
            return Response(status_code=204)
        if context.gate.mode == "tokens" and credentials.token:
            # The token proves that the stream exists. So the answer begins before the log is read:
            # a sandbox that dies before its first byte is a 502, which is final for an EventSource.
            opening = partial(_behind, stream_id, cursor, owner, context)
            return _read(opening, context, wire)
        reading = await _behind(stream_id, cursor, owner, context)
    except RetryLater as error:
        return retry_reading(error)
    except (StoreUnavailable, SecretUnavailable) as error:
        return retry_response(error, context.settings.event_source)
    return _read(reading, context, wire) if reading is not None else Response(status_code=204)


async def _behind(
    stream_id: str, cursor: Cursor | None, owner: str, context: Context
) -> Reading | None:
    after = None if cursor is None else cursor.seq
    return await context.streams.read(stream_id, after, context.window, owner=owner)


def _frames(context: Context, cursor: Cursor | None = None) -> Frames:
    settings, window = context.settings.event_source, context.window
    return Frames(settings, buffered=window.buffered, cursor=cursor)


def _read(reading: Reading | Opening, context: Context, wire: Frames | None = None) -> Response:
    padding = context.settings.event_source.padding_bytes
    return ReadingResponse(reading, context.window, wire or _frames(context), padding=padding)
