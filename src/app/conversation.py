"""Conversations: streams that follow one another.

The start of a stream holds all messages that it answers, so the last stream of a conversation is
all of it. A branch is another stream that follows the same one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from app.agents import Agents
from app.events import Answer, Start, Thinking
from app.folding import Told, fold
from app.models.base import Message, Request
from durable_stream import History
from durable_stream.text import mended


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


def answer(parts: Sequence[Told]) -> str:
    """The text of an answer as one message. A part between two pieces ends a paragraph.

    Thinking does not: a model may think again where another attempt continues its answer, in the
    middle of a word.
    """
    pieces: list[str] = []
    apart = False
    for part in parts:
        if part["kind"] == Answer.kind:
            pieces += ["\n\n", part["text"]] if apart and pieces else [part["text"]]
            apart = False
        elif part["kind"] != Thinking.kind:
            apart = True
    return mended("".join(pieces))
