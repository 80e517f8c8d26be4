"""Conversations: streams that follow one another.

The start of a stream holds all messages that it answers, so the last stream of a conversation is
all of it. A branch is another stream that follows the same one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from app.agents import Agents
from app.events import Answer, Start
from app.folding import Part, fold
from app.models.base import Message, Request
from durable_stream import History


@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages up to some point, and the streams that have added to them, oldest first."""

    messages: tuple[Message, ...] = ()
    streams: tuple[str, ...] = ()

    @classmethod
    def asked(cls, start: Start, agents: Agents) -> Self | None:
        """The messages that a stream answers, and the streams that it follows.

        None for an agent with an input of its own, and for one that is not served any more.
        """
        agent = agents.of(start)
        if agent is None or agent.input is not None:
            return None
        return cls(Request.decode(start.input).messages, tuple(start.follows))

    @classmethod
    def answered(cls, history: History, agents: Agents) -> Self | None:
        """The same with the answer, as far as it has come, and with the stream itself."""
        asked = cls.asked(Start.of(history.start), agents)
        if asked is None:
            return None
        text = answer(fold(history.log))
        said = (Message("assistant", text),) if text.strip() else ()
        return cls((*asked.messages, *said), (*asked.streams, history.newest.stream_id))


def answer(parts: Sequence[Part]) -> str:
    """The text of an answer as one message; a part of another kind ends a paragraph."""
    pieces = [parts[0]["text"]] if parts and _is_answer(parts[0]) else []
    for before, part in pairwise(parts):
        if _is_answer(part):
            pieces += ["\n\n"] if pieces and not _is_answer(before) else []
            pieces.append(part["text"])
    return "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _is_answer(part: Part) -> bool:
    return bool(part["kind"] == Answer.kind)
