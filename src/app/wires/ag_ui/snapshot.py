"""Snapshot: everything so far, for a client that may show something else.

The client may show any earlier state of the answer. It keeps messages in the order in which it has
learned of them, and that is their order: a new one comes last. Only the result of a tool may come
between others, and the client itself puts it behind its call.
"""

from collections.abc import Iterable, Iterator, Sequence

from app.events import Data, Progress, Source, Thinking
from app.wires.ag_ui import protocol
from app.wires.ag_ui.parts import Part, Parts
from app.wires.ag_ui.shown import Shown, customs, member, removed
from app.wires.rendering import Json

# The client keeps reasoning and activities that a snapshot leaves out (@ag-ui/client 1.0.0,
# src/apply/default.ts).
_KEPT = (Thinking, Progress, Source)


def snapshot(asked: Sequence[Json], parts: Parts, shown: Shown) -> Iterator[Json]:
    """The events that tell of all parts, behind the messages that they answer."""
    messages = [*asked, *_messages(parts, shown)]
    if ghosts := [*_ghosts(parts, shown)]:
        yield protocol.messages_snapshot([*messages, *ghosts])
    yield protocol.messages_snapshot(messages)
    # Inside the snapshot, the client would put a result that is new to it last.
    for part in parts.now:
        if part.late:
            yield protocol.tool_result(shown.result(part))
    yield from protocol.state_delta(_state(parts))
    for part in parts.now:
        yield from customs(part)


def _messages(parts: Parts, shown: Shown) -> Iterator[Json]:
    for part in parts.now:
        if (message := shown.message(part)) is not None:
            yield message
        if part.result and not part.late:
            yield shown.result(part)


def _ghosts(parts: Parts, shown: Shown) -> Iterator[Json]:
    """Stand-ins for dropped messages.

    The client keeps reasoning and activities that a snapshot leaves out, but no assistant messages.
    """
    for part in parts.dropped:
        if isinstance(part.event, _KEPT):
            yield protocol.assistant_message(shown.id(part), "")


def _state(parts: Parts) -> Iterator[Json]:
    now = _data(parts.now)
    yield from removed(_data(parts.dropped), now)
    for data in now:
        yield from member(data)


def _data(parts: Iterable[Part]) -> list[Data]:
    return [part.event for part in parts if isinstance(part.event, Data)]
