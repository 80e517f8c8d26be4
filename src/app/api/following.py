"""Following: the conversation that a new stream continues."""

from pydantic import BaseModel

from app.api import sse
from app.api.deps import Context
from app.api.schemas import CreateStream
from app.conversation import Conversation
from app.exceptions import RequestRefused
from durable_stream import StreamNotFound


async def followed(body: BaseModel, creator: str, context: Context) -> Conversation:
    """The conversation that the body continues, read from the stream that it names.

    Raises RequestRefused: the stream is not there, is another owner's, is still under way, or is
    no conversation.
    """
    if not isinstance(body, CreateStream) or body.previous is None:
        return Conversation()
    previous = body.previous
    if not sse.is_stream_id(previous):
        raise _not_found()
    try:
        # Before its records are read, which may be many.
        if (await context.streams.start(previous)).owner != creator:
            raise _not_found()
        history = await context.streams.history(previous)
    except StreamNotFound:
        raise _not_found() from None
    if not history.newest.terminal:
        raise _under_way(previous)
    conversation = Conversation.answered(history, context.inputs.agents)
    if conversation is None:
        raise _no_conversation()
    return conversation


def _not_found() -> RequestRefused:
    return RequestRefused(
        404,
        "stream_not_found",
        "`previous` names no stream, or one that has expired or is not yours: begin a new "
        "conversation.",
    )


def _under_way(stream_id: str) -> RequestRefused:
    return RequestRefused(
        409,
        "still_streaming",
        f"The stream {stream_id} is still under way: read it to its end, or cancel it, then send "
        "this again.",
    )


def _no_conversation() -> RequestRefused:
    return RequestRefused(
        422,
        "no_conversation",
        "The stream that `previous` names cannot be continued: its agent has an input of its own, "
        "or is not served any more. Begin a new conversation.",
    )
