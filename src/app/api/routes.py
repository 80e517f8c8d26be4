"""The routes of the wire."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.security import APIKeyQuery, HTTPAuthorizationCredentials, HTTPBearer
from pydantic import JsonValue

from app.access.gate import Credentials, Gate
from app.api import bodies
from app.api import sse as frames
from app.api.errors import RequestRefused
from app.api.responses import (
    ReadingResponse,
    come_back,
    come_back_later,
    come_back_to_read,
    window,
)
from app.api.schemas import (
    CreatedStream,
    CreateStream,
    ErrorAnswer,
    Failure,
    Health,
    MaxTokens,
    Snapshot,
    StopSequences,
    Temperature,
    Usage,
)
from app.exceptions import (
    AccessError,
    LimitExceeded,
    LogUnavailable,
    SecretError,
    SecretUnavailable,
    StreamNotFound,
)
from app.limits.connects import Connects
from app.models.base import Message, Provider
from app.models.base import Request as ModelRequest
from app.settings import Settings
from durable_stream.history import Transcript, status
from durable_stream.records import Done, Failed
from durable_stream.streams import Streams, Window

router = APIRouter(
    responses={500: {"model": ErrorAnswer, "description": "Something is broken or not set up."}}
)

Refusals = dict[int | str, dict[str, Any]]

_PASSING = {429, 503}
_RETRY_AFTER = {"Retry-After": {"description": "In seconds.", "schema": {"type": "integer"}}}


def _refusals(*statuses: int) -> Refusals:
    texts = {
        400: "The cursor is malformed, of another stream, or beyond the end.",
        401: "There is no API token, or none that is known, nor this stream's token.",
        403: "A page of another site asks, which ALLOWED_ORIGINS does not name.",
        404: "There is no such stream, or it has expired, or it is somebody else's.",
        413: "The prompt is too long, or the body too large.",
        422: "The request is invalid, or more than a day's limit, or its Idempotency-Key came with "
        "another one before.",
        429: "A limit is reached: requests a minute, or tokens a day.",
        503: "The event log, or the store of secrets, does not answer right now.",
    }
    return {
        code: {
            "model": ErrorAnswer,
            "description": texts[code],
            **({"headers": _RETRY_AFTER} if code in _PASSING else {}),
        }
        for code in statuses
    }


# FastAPI's own form for events: `itemSchema` is OpenAPI's from 3.2 on.
_EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": frames.KINDS},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string", "pattern": frames.EVENT_ID},
        "retry": {"type": "integer", "minimum": 0},
    },
}
_EVENTS: dict[str, Any] = {
    "description": (
        "Server-Sent Events: `start`, `claim`, `thinking`, `answer`, `heartbeat`, `handoff`, and "
        "one of `done`, `error`, `cancelled` at the end. A response that ends without one of "
        "those three is to be continued: connect again with the last id."
    ),
    "content": {"text/event-stream": {"itemSchema": _EVENT}},
}


@dataclass(frozen=True, slots=True)
class Served:
    """What a route works with: the process's objects, and what this request brings.

    `root` is the path under which the outside finds this application.
    """

    streams: Streams
    connects: Connects
    provider: Provider
    settings: Settings
    gate: Gate
    window: Window
    root: str

    async def admit(self, shown: Credentials, stream_id: str) -> str:
        """The owner of a stream that is opened; raises as `Gate.admit`."""
        return await self.gate.admit(shown, stream_id, self.streams.owner)


_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="API token",
    description="Creates streams, and opens those that it has created.",
)


_token = APIKeyQuery(
    name="token",
    auto_error=False,
    scheme_name="Stream token",
    description="Opens the stream that it was made for, and no other.",
)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def _served(request: Request) -> Served:
    state = request.state
    return Served(
        streams=state.streams,
        connects=state.connects,
        provider=state.provider,
        settings=state.settings,
        gate=state.gate,
        window=window(request.scope),
        root=request.scope.get("root_path", ""),
    )


async def _shown(bearer: Bearer, token: Annotated[str | None, Depends(_token)]) -> Credentials:
    return Credentials(bearer.credentials if bearer else None, token)


ServedDep = Annotated[Served, Depends(_served)]
ShownDep = Annotated[Credentials, Depends(_shown)]


async def _creator(served: ServedDep, bearer: Bearer) -> str:
    return await served.gate.creator(Credentials(bearer.credentials if bearer else None))


async def _of_no_other_site(request: Request, served: ServedDep) -> None:
    """Refuse a page of another site where it needs no token.

    A page can have any address fetched, as an image say, and where all may create streams this
    one costs money. A client that is no browser, or an old one, does not say where it comes from.
    """
    headers, allowed = request.headers, served.settings.allowed_origins
    if (
        served.gate.mode == "open"
        and headers.get("sec-fetch-site") == "cross-site"
        and headers.get("origin") not in allowed
    ):
        raise RequestRefused(
            403,
            "cross_site",
            "A page of another site may create no stream here: name its origin in "
            "ALLOWED_ORIGINS, and use an EventSource or fetch(), which tell it.",
        )


async def _admit_creator(request: Request) -> None:
    await _creator(await _served(request), await _bearer(request))


async def _stream_id(
    stream_id: Annotated[
        str,
        Path(description="A stream's id.", json_schema_extra={"pattern": f"^{frames.STREAM_ID}$"}),
    ],
) -> str:
    # There is more in the table than streams.
    if not re.fullmatch(frames.STREAM_ID, stream_id):
        raise StreamNotFound
    return stream_id


CreatorDep = Annotated[str, Depends(_creator)]
StreamId = Annotated[str, Depends(_stream_id)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[A-Za-z0-9._:-]{16,128}$",
        description=(
            "Makes creating repeatable: the same key gives the same stream. Use a random UUID. "
            "Where access is open, the key gives the stream's address away: keep it secret."
        ),
    ),
]
# Told, not enforced here: what is wrong with a cursor is answered 400, with a message of its own.
# An empty one is none.
_CURSOR: dict[str, JsonValue] = {"pattern": f"{frames.EVENT_ID}|^$"}
LastEventId = Annotated[
    str | None,
    Header(description="The id of the last event received.", json_schema_extra=_CURSOR),
]


creating = APIRouter(route_class=bodies.bounded(_admit_creator))


@creating.post(
    "/streams",
    status_code=201,
    response_model=CreatedStream,
    responses={200: _EVENTS, **_refusals(401, 413, 422, 429, 503)},
    summary="Create a stream",
)
async def create_stream(
    body: CreateStream,
    response: Response,
    served: ServedDep,
    creator: CreatorDep,
    idempotency_key: IdempotencyKey = None,
    *,
    stream: Annotated[bool, Query(description="Answer with the events themselves.")] = False,
) -> Any:
    """Create a stream that its first reader starts, or, with `?stream=true`, read it at once."""
    request = _model_request(body, served)
    if stream:
        reading = await served.streams.create_and_read(
            request, idempotency_key, served.window, owner=creator
        )
        return ReadingResponse(reading, served.window, served.settings)
    start = await served.streams.create(request, idempotency_key, owner=creator)
    token = await served.gate.token(start.stream_id, creator, start.expires_at)
    response.headers["Location"] = _url(served, start.stream_id)
    return CreatedStream(
        id=start.stream_id,
        model=request.model,
        token=token,
        events_url=_url(served, start.stream_id, "/events", token),
        url=_url(served, start.stream_id, token=token),
        cancel_url=_url(served, start.stream_id, "/cancel", token),
    )


router.include_router(creating)


@router.get(
    "/streams/{stream_id}/events",
    response_class=Response,
    responses={
        200: _EVENTS,
        204: {"description": "Everything has been delivered; an EventSource stops here."},
        **_refusals(400, 401, 404, 422),
    },
    summary="Read a stream",
)
async def read_events(
    stream_id: StreamId,
    served: ServedDep,
    shown: ShownDep,
    last_event_id: LastEventId = None,
    last_event_id_query: Annotated[
        str | None,
        Query(
            alias="last_event_id",
            description="For those who cannot set the header.",
            json_schema_extra=_CURSOR,
        ),
    ] = None,
) -> Response:
    """Send what follows the last event received, then whatever comes, up to the end."""
    cursor = last_event_id or last_event_id_query
    return await _resume(stream_id, cursor, served, shown)


@router.get(
    "/streams/{stream_id}",
    responses=_refusals(401, 404, 422, 503),
    summary="Look at a stream",
)
async def show_stream(stream_id: StreamId, served: ServedDep, shown: ShownDep) -> Snapshot:
    """Tell how far a stream has come, without waiting."""
    await served.admit(shown, stream_id)
    return await _snapshot(await served.streams.transcript(stream_id), served)


@router.post(
    "/streams/{stream_id}/cancel",
    responses=_refusals(401, 404, 422, 503),
    summary="Cancel a stream",
)
async def cancel_stream(stream_id: StreamId, served: ServedDep, shown: ShownDep) -> Snapshot:
    """End a stream for everybody who reads it; one that has ended stays as it is."""
    await served.admit(shown, stream_id)
    return await _snapshot(await served.streams.cancel(stream_id), served)


@router.get(
    "/sse",
    response_class=Response,
    responses={
        200: _EVENTS,
        204: {"description": "Everything has been delivered; an EventSource stops here."},
        **_refusals(400, 401, 403, 404, 413, 422),
    },
    summary="Create and read in one",
    dependencies=[Depends(_of_no_other_site)],
)
async def create_and_read(
    prompt: Annotated[
        str, Query(description="What to answer.", json_schema_extra={"pattern": r"\S"})
    ],
    served: ServedDep,
    shown: ShownDep,
    last_event_id: LastEventId = None,
    *,
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
        stream_id, _ = frames.split_event_id(last_event_id)
        return await _resume(stream_id, last_event_id, served, shown)
    try:
        creator = await served.gate.creator(shown)
    except SecretUnavailable as error:
        return come_back(error, served.settings)
    if not prompt.strip():
        raise RequestRefused(422, "invalid_request", "`prompt` is empty: say what to answer.")
    body = CreateStream(
        prompt=prompt,
        messages=None,
        model=model,
        max_tokens=max_tokens,
        temperature=temperature,
        system=system,
        stop=stop,
    )
    request = _model_request(body, served)
    try:
        reading = await served.streams.create_and_read(request, None, served.window, owner=creator)
    except LimitExceeded as error:
        return come_back_later(error)
    except LogUnavailable as error:
        return come_back(error, served.settings)
    return ReadingResponse(reading, served.window, served.settings)


@router.get(
    "/healthz",
    response_model_exclude_none=True,
    openapi_extra={"security": [{}]},
    summary="Be alive",
)
async def healthz(served: ServedDep, bearer: Bearer) -> Health:
    """Answer without asking the log or the provider; tell strangers nothing else."""
    alive = Health(status="ok", access=served.gate.mode)
    try:
        await _creator(served, bearer)
    except (AccessError, SecretError):
        return alive
    models = list(served.provider.models)
    return alive.model_copy(update={"provider": served.settings.provider, "models": models})


async def _resume(
    stream_id: str, cursor: str | None, served: Served, shown: Credentials
) -> Response:
    after = frames.position(cursor, stream_id) if cursor else None
    try:
        owner = await served.admit(shown, stream_id)
        reading = await served.streams.read(stream_id, after, served.window)
        if reading is None:
            return Response(status_code=204)
        await served.connects.count(
            stream_id, owner, buffered=served.window.buffered, at=int(time.time())
        )
    except LimitExceeded as error:
        return come_back_to_read(error)
    except (LogUnavailable, SecretUnavailable) as error:
        return come_back(error, served.settings)
    return ReadingResponse(reading, served.window, served.settings)


def _model_request(body: CreateStream, served: Served) -> ModelRequest:
    """What the provider will be asked; refuses what is over a limit before anything happens."""
    settings, models = served.settings, served.provider.models
    if body.prompt is not None:
        messages: tuple[Message, ...] = (Message("user", body.prompt),)
    else:
        messages = tuple(Message(m.role, m.content) for m in body.messages or ())
    request = ModelRequest(
        messages=messages,
        model=models[0] if body.model is None else body.model,
        max_tokens=body.max_tokens or min(settings.default_max_tokens, settings.max_tokens),
        temperature=body.temperature,
        system=body.system or None,
        stop=tuple(body.stop or ()),
    )
    _check_limits(request, models, settings)
    return request


def _check_limits(request: ModelRequest, models: Sequence[str], settings: Settings) -> None:
    texts = [request.system or "", *(message.content for message in request.messages)]
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    if size > settings.max_prompt_bytes:
        raise RequestRefused(
            413,
            "prompt_too_large",
            f"The prompt has {size} bytes; at most {settings.max_prompt_bytes} are taken: "
            "shorten it.",
        )
    if request.model not in models:
        known = ", ".join(models)
        raise RequestRefused(
            422, "unknown_model", f"This model is not served. Use one of: {known}."
        )
    if request.max_tokens > settings.max_tokens:
        raise RequestRefused(
            422, "invalid_request", f"max_tokens may be at most {settings.max_tokens}."
        )


def _url(served: Served, stream_id: str, path: str = "", token: str | None = None) -> str:
    query = f"?token={token}" if token else ""
    return f"{served.root}/streams/{stream_id}{path}{query}"


async def _snapshot(transcript: Transcript, served: Served) -> Snapshot:
    newest = transcript.newest
    token = await served.gate.token(newest.stream_id, transcript.start.owner, newest.expires_at)
    end = newest.payload
    return Snapshot(
        id=newest.stream_id,
        model=transcript.start.model,
        status=status(newest, now_ms=time.time() * 1000, lease=served.settings.lease),
        thinking=transcript.partial.thinking,
        answer=transcript.partial.answer,
        finish_reason=end.finish_reason if isinstance(end, Done) else None,
        usage=Usage(**frames.usage(end)) if isinstance(end, Done) else None,
        error=Failure(**frames.error(end)) if isinstance(end, Failed) else None,
        last_event_id=frames.event_id(newest.stream_id, newest.seq),
        token=token,
        events_url=_url(served, newest.stream_id, "/events", token),
        expires_at=newest.expires_at,
    )
