"""Requests: the messages of a page become the input of a stream."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from app.api.inputs import Inputs
from app.api.schemas import CreateStream
from app.conversation import answer
from app.events import Answer, Start, Thinking
from app.exceptions import RequestRefused
from app.wires.bodies import valid

_MOST_MESSAGES = 1000

# Parts that do not stand between two texts.
_UNSEEN = frozenset({"reasoning", "step-start"})

Id = Annotated[str, Field(min_length=1, max_length=256)]


class UIPart(BaseModel):
    """A part of a message; only `text` counts."""

    type: str
    text: str | None = None


class UIMessage(BaseModel):
    """A message as the page shows it."""

    role: Literal["system", "user", "assistant"]
    parts: list[UIPart]


class Chat(BaseModel):
    """A chat, up to the message that is to be answered. Members that change no answer are ignored.

    A WorkflowChatTransport sends no `id` unless its `prepareSendMessagesRequest` does.
    """

    id: Id | None = None
    messages: list[UIMessage] = Field(max_length=_MOST_MESSAGES)
    agent: str | None = None
    model: str | None = None


class Stop(BaseModel):
    """A stop of the stream that the page reads, or else of the chat's last one."""

    activeStreamId: str | None = None  # noqa: N815 - the AI SDK's name


def started(chat: Chat, owner: str, inputs: Inputs) -> Start:
    """The start of the stream that answers a chat; raises RequestRefused."""
    _check(chat)
    system = "\n\n".join(_asked(each) for each in chat.messages if each.role == "system")
    texts = [(each.role, _text(each)) for each in chat.messages if each.role != "system"]
    messages = [
        {"role": role, "content": text} for role, text in texts if role == "user" or text.strip()
    ]
    about = {"agent": chat.agent, "model": chat.model, "system": system or None}
    if inputs.named(chat.agent).input is not None:
        prompt = messages[-1]["content"]
        return inputs.start_of_query(owner, valid(CreateStream, {**about, "prompt": prompt}))
    return inputs.start(valid(CreateStream, {**about, "messages": messages}), owner)


def _check(chat: Chat) -> None:
    if not chat.messages or chat.messages[-1].role != "user":
        raise RequestRefused(
            422,
            "invalid_request",
            "The last message must be the user's: tools run on the server here, so a page has no "
            "result to send.",
            "messages",
        )
    for i, message in enumerate(chat.messages):
        for j, part in enumerate(message.parts):
            if message.role == "user" and part.type == "file":
                raise RequestRefused(
                    422,
                    "file_refused",
                    "No files are taken here: send the message as text alone.",
                    f"messages.{i}.parts.{j}",
                )
    if not _asked(chat.messages[-1]).strip():
        raise RequestRefused(
            422, "invalid_request", "The message has no text: send one with text.", "messages"
        )


def _text(message: UIMessage) -> str:
    return _answered(message) if message.role == "assistant" else _asked(message)


def _asked(message: UIMessage) -> str:
    return "\n\n".join(part.text or "" for part in message.parts if part.type == "text")


def _answered(message: UIMessage) -> str:
    kinds = {"text": Answer.kind} | dict.fromkeys(_UNSEEN, Thinking.kind)
    return answer(
        [
            {"kind": kinds.get(part.type, part.type), "text": part.text or ""}
            for part in message.parts
        ]
    )
