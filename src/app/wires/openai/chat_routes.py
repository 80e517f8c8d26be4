"""The route of chat completions."""

from fastapi import APIRouter, Depends, Request, Response

from app.api.deps import (
    Context,
    ContextDep,
    CreatorDep,
    IdempotencyKey,
    from_no_other_site,
)
from app.api.responses import ReadingResponse
from app.wires import bodies
from app.wires.openai import holding, requests, retries, shapes
from app.wires.openai.completion import Completion
from app.wires.openai.requests import CompletionForm
from app.wires.openai.shapes import JsonAnswer
from app.wires.openai.wire import CompletionWire
from durable_stream import Reading, Record

router = APIRouter(route_class=shapes.CREATING, dependencies=[Depends(from_no_other_site)])

_STILL_GOING = "The answer takes longer than this request may:"


@router.post("/chat/completions")
async def create_completion(
    request: Request,
    context: ContextDep,
    creator: CreatorDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Answer a conversation, in chunks or in one piece."""
    form = await bodies.parsed(request, CompletionForm)
    body = requests.of_completion(form, context.inputs.agents, context.model.models)
    start = context.inputs.start(body, creator)
    key = await retries.key_of(request, creator, idempotency_key, context.pointers)
    if not form.stream:
        reading = await context.streams.create_and_read(start, key, holding.patient(context))
        return _completed(await holding.read_out(reading, context), again=key is not None)
    reading = await context.streams.create_and_read(start, key, context.window)
    wire = CompletionWire(form.include_usage, await _at_hand(reading, context))
    padding = context.settings.event_source.padding_bytes
    return ReadingResponse(reading, context.window, wire, padding=padding)


async def _at_hand(reading: Reading, context: Context) -> int:
    """The position up to which the log is there; 0 for a stream that this request has begun."""
    if reading.writes:
        return 0
    return (await context.streams.history(reading.stream_id)).newest.seq


def _completed(records: list[Record], *, again: bool) -> Response:
    completion = Completion()
    completion.take(records)
    if completion.complete:
        return JsonAnswer(completion.json())
    if completion.problem is not None:
        # The same request with the same key has the same end.
        return JsonAnswer(completion.problem, 500, {"x-should-retry": "false"})
    return _still_going(again=again)


def _still_going(*, again: bool) -> Response:
    """The answer to a client that has to wait longer; without a key it would begin another one."""
    how = "send it again with the same Idempotency-Key" if again else "send an Idempotency-Key"
    told = shapes.error("still_generating", f"{_STILL_GOING} {how}, or use `stream`.")
    headers = {"Retry-After": "1", "x-should-retry": "true" if again else "false"}
    return JsonAnswer(told, 503, headers)
