"""From the bodies of OpenAI's API to the body of a stream.

A member that changes the answer, and has no equal here, is refused by its name. All others are
ignored: every release of the SDKs brings some.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.agents import Agents
from app.api.schemas import CreateStream
from app.exceptions import RequestRefused
from app.wires import bodies
from app.wires.openai.response import stream_id
from app.wires.rendering import Json

# The members that are refused, and the values that say nothing.
_REFUSED: Mapping[str, Sequence[Any]] = {
    "audio": (),
    "conversation": (),
    "frequency_penalty": (0,),
    "function_call": ("none",),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "max_tool_calls": (),
    "modalities": (["text"],),
    "n": (1,),
    "presence_penalty": (0,),
    "prompt": (),
    "response_format": ({"type": "text"},),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "top_p": (1,),
    "web_search_options": (),
}
_FORMATS = (None, {"type": "text"})

_SYSTEM = ("system", "developer")
_TEXTS = ("text", "input_text", "output_text")
# The items of an earlier answer that are not sent to a model: a conversation continues its text.
_OF_ANSWERS = ("reasoning", "function_call", "function_call_output")


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    model: str | None = None
    stream: bool | None = None
    temperature: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _nothing_unsupported(cls, value: Any) -> Any:
        """Raise RequestRefused, which passes by pydantic."""
        for name, idle in _REFUSED.items() if isinstance(value, dict) else ():
            if value.get(name) is not None and value[name] not in idle:
                raise _refused(f"`{name}` is not supported here: leave it out.", name)
        return value


class ResponseForm(_Form):
    """The body of `POST /v1/responses`."""

    input: str | list[Any]
    instructions: str | None = None
    previous_response_id: str | None = None
    background: bool | None = None
    max_output_tokens: int | None = None
    metadata: Annotated[
        dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None,
        Field(max_length=16),
    ] = None
    text: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _plain_text(self) -> Self:
        if (self.text or {}).get("format") not in _FORMATS:
            raise _refused("Only plain text is answered here: leave it out.", "text.format")
        return self


class _StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    include_usage: bool | None = None


class CompletionForm(_Form):
    """The body of `POST /v1/chat/completions`."""

    messages: list[Any]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    stream_options: _StreamOptions | None = None

    @property
    def include_usage(self) -> bool:
        """True if the token counts are asked for at the end of a stream."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


def of_response(form: ResponseForm, agents: Agents, models: Sequence[str]) -> CreateStream:
    """The stream that a response is; raises RequestRefused, which names the member."""
    said = _Said.of(_items(form.input), "input")
    members: Json = {
        "system": _joined([form.instructions or "", *said.system]),
        "max_tokens": form.max_output_tokens,
        "temperature": form.temperature,
        **_answering(form.model, agents, models),
    }
    if form.previous_response_id is None:
        return _created(members | {"messages": said.messages}, "input", "max_output_tokens")
    if any(message["role"] != "user" for message in said.messages):
        raise _refused(
            "With `previous_response_id`, the input is what the user says next: leave out the "
            "messages of the assistant.",
            "input",
        )
    prompt = _joined([message["content"] for message in said.messages]) or ""
    previous = stream_id(form.previous_response_id)
    return _created(
        members | {"prompt": prompt, "previous": previous}, "input", "max_output_tokens"
    )


def of_completion(form: CompletionForm, agents: Agents, models: Sequence[str]) -> CreateStream:
    """The stream that a chat completion is; raises RequestRefused, which names the member."""
    said = _Said.of(form.messages, "messages")
    longest = "max_tokens" if form.max_completion_tokens is None else "max_completion_tokens"
    return _created(
        {
            "messages": said.messages,
            "system": _joined(said.system),
            "max_tokens": getattr(form, longest),
            "temperature": form.temperature,
            "stop": [form.stop] if isinstance(form.stop, str) else form.stop,
            **_answering(form.model, agents, models),
        },
        "messages",
        longest,
    )


def chat_agents(agents: Agents) -> list[str]:
    """The names of the agents that answer a conversation, the one for models first."""
    names = [each.name for each in agents.by_name.values() if each.input is None]
    default = agents.default.name
    return sorted(names, key=lambda name: name != default)


def no_model(served: Sequence[str]) -> RequestRefused:
    """The error for the name of a model, or an agent, that is not here."""
    known = ", ".join(served) or "none"
    return RequestRefused(
        404, "model_not_found", f"This model is not served. Use one of: {known}.", "model"
    )


def _answering(name: str | None, agents: Agents, models: Sequence[str]) -> Json:
    """The agent and the model: `name` is either's, and the agent's if both have it."""
    chatting = chat_agents(agents)
    if name in chatting:
        return {"agent": name}
    if not chatting or (name is not None and name not in models):
        raise no_model([*chatting, *models] if chatting else [])
    return {"agent": chatting[0], "model": name}


def _created(members: Json, content: str, longest: str) -> CreateStream:
    try:
        return bodies.valid(CreateStream, members)
    except RequestRefused as error:
        ours = (error.param or "").partition(".")[0]
        theirs = {"max_tokens": longest, "temperature": "temperature", "stop": "stop"}
        param = theirs.get(ours, content)
        raise RequestRefused(error.status, error.code, error.message, param) from None


def _items(input_: str | list[Any]) -> list[Any]:
    return [{"role": "user", "content": input_}] if isinstance(input_, str) else input_


@dataclass
class _Said:
    """The messages of a conversation, and the instructions among them."""

    messages: list[Json] = field(default_factory=list)
    system: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, items: Sequence[Any], member: str) -> Self:
        """Read the items of this member; raises RequestRefused."""
        said = cls()
        for index, item in enumerate(items):
            said._add(item, f"{member}.{index}")
        return said

    def _add(self, item: Any, where: str) -> None:
        if not isinstance(item, dict):
            raise _refused("A message is an object with `role` and `content`.", where)
        kind, role = item.get("type") or "message", item.get("role")
        if kind in _OF_ANSWERS:
            return
        if kind != "message":
            raise _refused("Items of this type are not taken here: leave it out.", f"{where}.type")
        if role not in (*_SYSTEM, "user", "assistant"):
            raise _refused(
                "`role` is `user`, `assistant`, `system` or `developer` here.", f"{where}.role"
            )
        text = _text(item.get("content"), f"{where}.content")
        if role in _SYSTEM:
            self.system.append(text)
        elif role == "user" or text.strip():  # A turn that only called tools has no text.
            self.messages.append({"role": role, "content": text})


def _text(content: Any, where: str) -> str:
    """The text of a message, which may come in parts; raises RequestRefused for other parts."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise _refused("`content` is a text, or a list of parts.", where)
    texts: list[str] = []
    for index, part in enumerate(content):
        known = isinstance(part, dict) and part.get("type") in _TEXTS
        if not known or not isinstance(part.get("text"), str):
            raise _refused("Only parts with text are taken here.", f"{where}.{index}")
        texts.append(part["text"])
    return "".join(texts)


def _joined(texts: Sequence[str]) -> str | None:
    return "\n\n".join(text for text in texts if text.strip()) or None


def _refused(message: str, param: str) -> RequestRefused:
    return RequestRefused(400, "unsupported_value", message, param)
