"""Requests: from the input of a run, as AG-UI has it, to a request of this application.

https://docs.ag-ui.com/concepts/messages and RunAgentInput in the reference of @ag-ui/core.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from app.agents import Agent
from app.api.schemas import CreateStream, MessageBody
from app.exceptions import RequestRefused
from app.wires import bodies
from app.wires.rendering import Json
from durable_stream.text import mended

_STATUS = 400
_CODE = "invalid_request"
_MOST_MESSAGES = 1000

Name = Annotated[str, Field(min_length=1, max_length=256)]


class RunName(BaseModel):
    """The names by which a client knows a run."""

    model_config = ConfigDict(strict=True)

    threadId: Name  # noqa: N815 - the protocol's names
    runId: Name  # noqa: N815

    @property
    def key(self) -> str:
        """The idempotency key of the run's stream; no caller can send one of this form."""
        return json.dumps(["ag-ui", self.threadId, self.runId])


class Message(BaseModel):
    """A message, with all that the client says of it."""

    model_config = ConfigDict(strict=True, extra="allow")

    id: Name
    role: Literal["user", "assistant", "system", "developer", "tool", "reasoning", "activity"]
    content: JsonValue = None


class ContextEntry(BaseModel):
    """Something that the page tells the model."""

    description: str
    value: str


class RunInput(RunName):
    """The body of a run. Members that do not change an answer are ignored."""

    messages: Annotated[list[Message], Field(max_length=_MOST_MESSAGES)]
    protocolVersion: str | None = None  # noqa: N815
    context: list[ContextEntry] = []
    # The protocol lets a state be any value, and a client that has none may send null.
    state: dict[str, JsonValue] | None = None
    tools: list[JsonValue] = []
    resume: list[JsonValue] | None = None

    @model_validator(mode="before")
    @classmethod
    def _mended(cls, value: Any) -> Any:
        """The input with halves of surrogate pairs mended, which an answer may have brought."""
        return json.loads(mended(json.dumps(value, ensure_ascii=False)))

    def others(self, stream_id: str) -> list[Json]:
        """The client's messages, without those of this stream."""
        told = [each.model_dump(exclude_unset=True) for each in self.messages]
        return [each for each in told if not each["id"].startswith(f"{stream_id}-")]

    def request(self, agent: Agent[Any]) -> CreateStream:
        """The request to an agent; raises RequestRefused, which names the member at fault.

        An agent with an input of its own gets the last message of the user as its prompt.
        """
        self._check_supported()
        turns = _turns(self.messages)
        if not turns or turns[-1].role != "user":
            raise RequestRefused(
                _STATUS, _CODE, "`messages` must end with a message of the user.", "messages"
            )
        if agent.input is not None:
            return _valid(agent=agent.name, prompt=turns[-1].content)
        system = "\n\n".join(_instructions(self))
        return _valid(agent=agent.name, messages=turns, system=system or None)

    def _check_supported(self) -> None:
        if self.tools:
            raise RequestRefused(
                _STATUS,
                "unsupported",
                "`tools` that a page runs are not supported: declare tools in the agent, and leave "
                "this out.",
                "tools",
            )
        if self.resume:
            raise RequestRefused(
                _STATUS,
                "unsupported",
                "`resume` answers interrupts, and no agent here makes any: leave it out.",
                "resume",
            )


def _valid(**members: Any) -> CreateStream:
    try:
        return bodies.valid(CreateStream, members)
    except RequestRefused as error:
        raise RequestRefused(error.status, error.code, error.message, "messages") from None


def _instructions(body: RunInput) -> Iterator[str]:
    for message, text in _texts(body.messages):
        if message.role in ("system", "developer") and text.strip():
            yield text
    for entry in body.context:
        yield f"{entry.description}: {entry.value}"


def _turns(messages: Sequence[Message]) -> list[MessageBody]:
    """The messages of the user and of the assistant; several of one answer are one.

    As in app.conversation.answer, anything but reasoning between two texts ends a paragraph.
    """
    turns: list[MessageBody] = []
    between: set[str] = set()
    for message, text in _texts(messages):
        if message.role not in ("user", "assistant") or not text.strip():
            between.add(message.role)
            continue
        last = turns[-1] if turns else None
        if message.role == "assistant" and last is not None and last.role == "assistant":
            gap = "" if between == {"reasoning"} else "\n\n"
            turns[-1] = MessageBody(role="assistant", content=last.content + gap + text)
        else:
            turns.append(MessageBody(role=message.role, content=text))
        between.clear()
    return turns


def _texts(messages: Sequence[Message]) -> Iterator[tuple[Message, str]]:
    for at, message in enumerate(messages):
        yield message, _text(message.content, f"messages.{at}.content", message.role)


def _text(content: JsonValue, param: str, role: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if role in ("tool", "reasoning", "activity"):
        return ""  # They are not sent to a model.
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") for part in parts if isinstance(part, dict) and _is_text(part)]
    if len(texts) < len(parts) or not all(isinstance(text, str) for text in texts):
        raise RequestRefused(
            _STATUS, "unsupported", f"`{param}` is not text: only text is taken.", param
        )
    return "".join(text for text in texts if isinstance(text, str))


def _is_text(part: dict[str, JsonValue]) -> bool:
    return part.get("type") == "text"
