"""The routes of responses."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from app.agents import Agents
from app.api import sse
from app.api.deps import (
    Context,
    ContextDep,
    CreatorDep,
    CredentialsDep,
    IdempotencyKey,
    from_no_other_site,
    public,
)
from app.api.following import followed
from app.api.responses import ReadingResponse
from app.api.schemas import CreateStream
from app.conversation import Conversation
from app.events import Start
from app.exceptions import RequestRefused
from app.gate import Credentials
from app.wires import bodies
from app.wires.openai import holding, requests, retries, shapes, snapshots
from app.wires.openai.echo import Echo
from app.wires.openai.requests import ResponseForm
from app.wires.openai.response import response_id, stream_id
from app.wires.openai.shapes import JsonAnswer
from app.wires.openai.wire import ResponseWire
from app.wires.rendering import Json
from durable_stream import Reading, Record, StreamNotFound, Window

creating = APIRouter(route_class=shapes.CREATING, dependencies=[Depends(from_no_other_site)])
plain = APIRouter(route_class=shapes.PLAIN)

# Errors of `previous`, in the words of this API.
_CODES = {
    "stream_not_found": "previous_response_not_found",
    "still_streaming": "previous_response_in_progress",
}
_MESSAGES = {
    "stream_not_found": "`previous_response_id` names no response, or one that has expired or is "
    "not yours: begin a new conversation.",
    "still_streaming": "The response that `previous_response_id` names is still under way: "
    "retrieve it until it has ended, or cancel it, then send this again.",
}


@creating.post("/responses")
async def create_response(
    request: Request,
    context: ContextDep,
    creator: CreatorDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Begin a response, and answer with its events, with all of it, or at once."""
    form = await bodies.parsed(request, ResponseForm)
    body = requests.of_response(form, context.inputs.agents, context.model.models)
    start = context.inputs.start(body, creator, await _before(body, creator, context))
    key = await retries.key_of(request, creator, idempotency_key, context.pointers)
    echo = Echo(bool(form.background), form.metadata or {})
    if form.background and not form.stream:
        record = await context.streams.create(start, key)
        await echo.keep(context.pointers, creator, record.stream_id)
        return JsonAnswer(snapshots.begun(record, echo))
    window = context.window if form.stream else holding.patient(context)
    reading = await context.streams.create_and_read(start, key, window)
    await echo.keep(context.pointers, creator, reading.stream_id)
    if form.stream:
        return _streamed(reading, ResponseWire(reading.stream_id, echo=echo), context)
    records = await holding.read_out(reading, context)
    return JsonAnswer(echo.added_to(snapshots.rendered(records).snapshot()))


async def _before(body: CreateStream, creator: str, context: Context) -> Conversation:
    """The conversation that the body continues; raises RequestRefused."""
    try:
        return await followed(body, creator, context)
    except RequestRefused as error:
        # None of them passes by waiting alone, so none has a status that the SDKs try again.
        code = _CODES.get(error.code, error.code)
        message = _MESSAGES.get(error.code, error.message)
        raise RequestRefused(400, code, message, "previous_response_id") from None


@plain.get("/responses/{response}")
@public
async def retrieve_response(
    response: str,
    context: ContextDep,
    credentials: CredentialsDep,
    starting_after: Annotated[int, Query(ge=-1)] = -1,
    *,
    stream: bool = False,
) -> Response:
    """Show a response as far as it has come, or send its events behind a number.

    A request for a response without a writer becomes the writer, and waits for the end.
    """
    id_, owner = await _admitted(response, context, credentials)
    window = context.window if stream else holding.patient(context)
    if stream:
        reading = await _reading(id_, owner, context, window)
        echo = await Echo.of(context.pointers, owner, id_)
        return _streamed(reading, ResponseWire(id_, starting_after, echo), context)
    history = await context.streams.history(id_)
    if not _is_written(history.newest, context):
        await holding.keep_going(await _reading(id_, owner, context, window), context)
        history = await context.streams.history(id_)
    echo = await Echo.of(context.pointers, owner, id_)
    return JsonAnswer(snapshots.snapshot(history, echo))


@plain.post("/responses/{response}/cancel")
@public
async def cancel_response(
    response: str, context: ContextDep, credentials: CredentialsDep
) -> Response:
    """End a response; one that has ended stays as it is."""
    id_, owner = await _admitted(response, context, credentials)
    history = await context.streams.cancel(id_)
    echo = await Echo.of(context.pointers, owner, id_)
    return JsonAnswer(snapshots.snapshot(history, echo))


@plain.delete("/responses/{response}")
@public
async def delete_response(
    response: str, context: ContextDep, credentials: CredentialsDep
) -> Response:
    """End a response, and delete it."""
    id_, _ = await _admitted(response, context, credentials)
    await context.streams.remove(id_)
    return JsonAnswer({"id": response_id(id_), "object": "response", "deleted": True})


@plain.get("/responses/{response}/input_items")
@public
async def list_input_items(
    response: str,
    context: ContextDep,
    credentials: CredentialsDep,
    *,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> Response:
    """List the messages that a response answers, the newest first."""
    id_, _ = await _admitted(response, context, credentials)
    items = _input_items(id_, Start.of(await context.streams.start(id_)), context.inputs.agents)
    if order == "desc":
        items.reverse()
    ids = [item["id"] for item in items]
    if after is not None and after not in ids:
        raise RequestRefused(
            400, "invalid_request", "`after` is the id of an item of this list.", "after"
        )
    first = 0 if after is None else ids.index(after) + 1
    page = items[first : first + limit]
    return JsonAnswer(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": first + limit < len(items),
        }
    )


def _input_items(id_: str, start: Start, agents: Agents) -> list[Json]:
    asked = Conversation.asked(start, agents) or Conversation()
    return [
        {
            "id": f"msg_{id_}_input_{index}",
            "type": "message",
            "role": message.role,
            "status": "completed",
            "content": [_content(message.role, message.content)],
        }
        for index, message in enumerate(asked.messages)
    ]


def _content(role: str, text: str) -> Json:
    if role == "assistant":
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "input_text", "text": text}


async def _admitted(response: str, context: Context, credentials: Credentials) -> tuple[str, str]:
    """The stream of a response, and its owner; raises as `Gate.admit`."""
    id_ = stream_id(response)
    if not sse.is_stream_id(id_):
        raise StreamNotFound
    return id_, await context.admit(credentials, id_)


async def _reading(id_: str, owner: str, context: Context, window: Window) -> Reading:
    reading = await context.streams.read(id_, None, window, owner=owner)
    assert reading is not None  # At the beginning something is always left.
    return reading


def _is_written(newest: Record, context: Context) -> bool:
    """True if a stream has ended, or has a writer that is alive."""
    return newest.terminal or holding.is_alive(newest, context)


def _streamed(reading: Reading, wire: ResponseWire, context: Context) -> Response:
    padding = context.settings.event_source.padding_bytes
    return ReadingResponse(reading, context.window, wire, padding=padding)
