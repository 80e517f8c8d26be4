"""The routes of the AI SDK's wire: send, read again, stop."""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.responses import PlainTextResponse

from app.api.deps import Context, ContextDep, CreatorDep, CredentialsDep, from_no_other_site, public
from app.api.errors import Told
from app.api.responses import Opening, ReadingResponse
from app.wires import routes
from app.wires.ai_sdk import requests
from app.wires.ai_sdk.chats import Chats, keep
from app.wires.ai_sdk.chunks import Chunks, count_of
from app.wires.bodies import parsed
from durable_stream import Reading, StreamNotFound

_CHAT = "/ai-sdk/chat"

_NO_MORE: Mapping[str, str] = MappingProxyType({})
_HEADERS: Mapping[str, str] = {"X-Vercel-AI-UI-Message-Stream": "v1"}


def _told(told: Told) -> Response:
    """The sentence alone: `useChat` shows the body of an error as it is."""
    return PlainTextResponse(told.message, told.status, told.headers)


_creating = APIRouter(prefix=_CHAT, route_class=routes.creating(_told))
_plain = APIRouter(prefix=_CHAT, route_class=routes.plain(_told))


@_creating.post("", dependencies=[Depends(from_no_other_site)])
async def send(request: Request, context: ContextDep, creator: CreatorDep) -> Response:
    """Answer the last message of a chat, by a new stream."""
    chat = await parsed(request, requests.Chat)
    start = requests.started(chat, creator, context.inputs)
    reading = await context.streams.create_and_read(start, None, context.window)
    await keep(chat.id, creator, reading, context)
    return _response(reading, Chunks(), context)


@_plain.get("/{id_}/stream")
@public
async def read(
    id_: str,
    context: ContextDep,
    credentials: CredentialsDep,
    start_index: Annotated[int | None, Query(alias="startIndex")] = None,
) -> Response:
    """Send the last stream of a chat from its beginning, or a stream from a chunk on."""
    chats = Chats(context, credentials)
    await chats.check(id_)
    if start_index is None:
        reading = await chats.reading(id_)
        if reading is None:
            return Response(status_code=204)
        return _response(reading, Chunks(), context)
    if start_index < 0:
        return await _from_the_end(id_, start_index, chats)
    # The head and the first byte are sent before the log is read.
    return _response(partial(chats.reading, id_), Chunks(start_index, asks_again=True), context)


@_creating.post("/{id_}/stop", status_code=204, dependencies=[Depends(from_no_other_site)])
async def stop(
    id_: str,
    request: Request,
    context: ContextDep,
    credentials: CredentialsDep,
) -> None:
    """End the stream that the page reads, or the last one of a chat, for all its readers."""
    body = await parsed(request, requests.Stop) if await request.body() else requests.Stop()
    await Chats(context, credentials).stop(id_, body.activeStreamId)


async def _from_the_end(id_: str, start_index: int, chats: Chats) -> Response:
    """The response that begins so many chunks before the end that the stream has now."""
    count, reading = 0, None
    found = await chats.found(id_)
    if found is not None:
        with suppress(StreamNotFound):
            count = count_of(await chats.context.streams.history(found.stream_id))
            reading = await chats.reading_of(found)
    chunks = Chunks(max(0, count + start_index), asks_again=True)
    tail = {"X-Workflow-Stream-Tail-Index": str(count - 1)}
    return _response(reading or _nothing, chunks, chats.context, tail)


async def _nothing() -> None:
    """Open no reading."""


def _response(
    reading: Reading | Opening,
    chunks: Chunks,
    context: Context,
    headers: Mapping[str, str] = _NO_MORE,
) -> Response:
    run = {"X-Workflow-Run-Id": reading.stream_id} if isinstance(reading, Reading) else {}
    return ReadingResponse(
        reading,
        context.window,
        chunks,
        padding=context.settings.event_source.padding_bytes,
        headers={**_HEADERS, **run, **headers},
    )


router = APIRouter(include_in_schema=False)
router.include_router(_creating)
router.include_router(_plain)
