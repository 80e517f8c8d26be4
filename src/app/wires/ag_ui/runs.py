"""Runs: the streams behind the names that clients give to their runs.

A run is named by its thread and itself. So the same names lead to the same stream, whatever
messages come with them: those of a client that comes back hold a part of the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.api import sse
from app.api.deps import Context
from app.api.responses import Opening
from app.conversation import Conversation
from app.events import Start
from app.exceptions import RequestRefused
from app.wires.ag_ui.requests import RunInput, RunName
from app.wires.rendering import Json
from durable_stream import KeyReused, Reading, StreamNotFound
from durable_stream.creation import derived_id


@dataclass(frozen=True, slots=True)
class Found:
    """A stream of the caller's."""

    stream_id: str
    start: Start


async def find(name: RunName, owner: str, context: Context) -> Found | None:
    """The stream of a run, None if it has none.

    The id of any stream of the owner's names a run, too, so that a stream can be read on this wire
    that was created on another.
    """
    for stream_id in (derived_id(owner, name.key), name.runId):
        if sse.is_stream_id(stream_id):
            try:
                start = Start.of(await context.streams.start(stream_id))
            except StreamNotFound:
                continue
            if start.owner == owner:
                return Found(stream_id, start)
    return None


async def begin(body: RunInput, agent: str | None, owner: str, context: Context) -> Reading | Found:
    """A reader of a new run, or the run that another request has begun meanwhile.

    Raises RequestRefused, and the errors of hooks.
    """
    request = body.request(context.inputs.named(agent, status=404))
    start = context.inputs.start_of_query(owner, request)
    try:
        return await context.streams.create_and_read(start, body.key, context.window)
    except KeyReused:
        if found := await find(body, owner, context):
            return found
        raise RequestRefused(
            422,
            "run_id_used",
            "This `runId` is another run's of the thread, or one's that has expired: use a new "
            "one.",
            "runId",
        ) from None


def reader(found: Found, owner: str, context: Context) -> Opening:
    """A function that reads a run from its beginning."""
    return lambda: context.streams.read(found.stream_id, None, context.window, owner=owner)


def asked(found: Found, body: RunInput, context: Context) -> Sequence[Json]:
    """The messages that a run answers: as its client sends them, else as they are in the log."""
    sent = body.others(found.stream_id)
    if sent:
        return sent
    conversation = Conversation.asked(found.start, context.inputs.agents) or Conversation()
    return [
        {"id": f"{found.stream_id}-asked-{at}", "role": each.role, "content": each.content}
        for at, each in enumerate(conversation.messages)
    ]
