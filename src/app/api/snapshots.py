"""Snapshots: streams as far as they have come, and the addresses of their routes."""

import json
from typing import Any

from pydantic import BaseModel

from app.api import sse
from app.api.deps import Context
from app.api.schemas import TEXTS, Failure, Snapshot, Turn, Usage
from app.conversation import Conversation
from app.events import Done, Start
from app.folding import fold
from durable_stream import Failed, History, status
from durable_stream.text import mended


async def snapshot(history: History, context: Context) -> BaseModel:
    """The snapshot of a stream."""
    newest, start, end = history.newest, history.start, history.newest.event
    token = await context.gate.token(newest.stream_id, start.owner, newest.expires_at)
    parts = fold(history.log)
    texts = {
        kind: "".join(part["text"] for part in parts if part["kind"] == kind)
        for kind in (each.kind for each in TEXTS)
    }
    named = Start.of(start)
    asked = Conversation.asked(named, context.inputs.agents) or Conversation()
    return Snapshot(
        id=newest.stream_id,
        agent=named.agent,
        model=named.model,
        status=status(newest, now=context.clock.now(), lease=context.settings.timing.lease),
        finish_reason=end.finish_reason if isinstance(end, Done) else None,
        usage=Usage(**end.usage) if isinstance(end, Done) else None,
        error=Failure(**end.public()) if isinstance(end, Failed) else None,
        last_event_id=str(sse.Cursor.of(newest)),
        token=token,
        events_url=url(context, newest.stream_id, "/events", token),
        expires_at=newest.expires_at,
        messages=[Turn(role=each.role, content=each.content) for each in asked.messages],
        follows=list(asked.streams),
        **_with_utf8_form({"parts": parts, **texts}),
    )


def _with_utf8_form(members: dict[str, Any]) -> dict[str, Any]:
    """The members with text that has a UTF-8 form: a model may leave half a surrogate pair."""
    with_form: dict[str, Any] = json.loads(mended(json.dumps(members, ensure_ascii=False)))
    return with_form


def url(context: Context, stream_id: str, path: str = "", token: str | None = None) -> str:
    """The address of a stream, or of a path below it."""
    query = f"?token={token}" if token else ""
    return f"{context.root}/streams/{stream_id}{path}{query}"
