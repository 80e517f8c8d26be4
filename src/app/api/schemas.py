"""The bodies of requests and answers, as OpenAPI shows them."""

from typing import Annotated, Any, Literal, NotRequired, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    create_model,
    model_validator,
    with_config,
)
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from app.api import sse
from app.events import EVENTS
from app.gate import Mode
from durable_stream import Status, Text

MaxTokens = Annotated[int, Field(ge=1, description="The longest answer, in tokens.")]
StopSequences = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=64)]],
    Field(max_length=4, description="Texts that end the answer early."),
]
Temperature = Annotated[float, Field(ge=0, le=2, description="0 is the least random.")]


# Each unknown member becomes an error of its own, so their number is bounded first.
_MOST_MEMBERS = 16


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _few_members(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > _MOST_MEMBERS:
            known = ", ".join(f"`{name}`" for name in cls.model_fields)
            raise ValueError(f"an object has at most {_MOST_MEMBERS} members here: use {known}")
        return value


# The rules of the validators below, as far as a schema can express them.
_NOT_EMPTY: dict[str, JsonValue] = {"pattern": r"\S"}
_EITHER: dict[str, JsonValue] = {
    "oneOf": [
        {
            "required": ["prompt"],
            "properties": {"prompt": {"type": "string"}, "messages": {"type": "null"}},
        },
        {
            "required": ["messages"],
            "properties": {
                "prompt": {"type": "null"},
                "messages": {"type": "array", "minItems": 1},
            },
        },
    ]
}


class MessageBody(_Strict):
    """One turn of a conversation."""

    role: Literal["user", "assistant"]
    content: str = Field(json_schema_extra=_NOT_EMPTY)


class CreateStream(_Strict):
    """A prompt to answer, or a conversation whose last turn is the user's."""

    model_config = ConfigDict(json_schema_extra=_EITHER)

    agent: str | None = Field(None, description="One of `/healthz`'s; by default the first.")
    prompt: str | None = Field(
        None, description="Short for one user message.", json_schema_extra=_NOT_EMPTY
    )
    messages: list[MessageBody] | None = Field(None, max_length=1000, fail_fast=True)
    previous: str | None = Field(
        None,
        description="The stream whose conversation the prompt continues. It has ended; its "
        "messages and its answer come before the prompt.",
        json_schema_extra={"pattern": f"^{sse.STREAM_ID}$"},
    )
    system: str | None = Field(None, description="Instructions to the model.")
    stop: StopSequences | None = None
    model: str | None = Field(None, description="One of `/healthz`'s models; by default the first.")
    max_tokens: MaxTokens | None = None
    temperature: Temperature | None = None

    @model_validator(mode="after")
    def _text_has_a_utf8_form(self) -> Self:
        contents = (message.content for message in self.messages or ())
        for text in (self.prompt or "", self.system or "", *(self.stop or ()), *contents):
            try:
                text.encode()
            except UnicodeEncodeError:
                raise ValueError("the text holds half a surrogate pair, which is no text") from None
        return self

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("send either `prompt` or `messages`")
        if self.previous is not None and self.prompt is None:
            raise ValueError("`previous` goes with `prompt`: it brings the messages itself")
        if self.prompt is not None:
            if not self.prompt.strip():
                raise ValueError("`prompt` is empty: say what to answer")
        elif not self.messages or self.messages[-1].role != "user":
            raise ValueError("`messages` must end with a message of the user")
        elif not all(message.content.strip() for message in self.messages):
            raise ValueError("a message's `content` is empty")
        return self


class ErrorBody(BaseModel):
    """An error. `code` is stable; `message` says what to do."""

    code: str
    message: str


class ErrorAnswer(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorBody


class Usage(BaseModel):
    """Token counts as the provider reports them, null where it does not."""

    input_tokens: int | None
    output_tokens: int | None


class Failure(BaseModel):
    """Why a stream ended without an answer."""

    code: str
    message: str
    retryable: bool


Token = Annotated[
    str | None,
    Field(
        description="Opens this stream, and no other, as `?token=`. The addresses here contain it "
        "already. Null where no token is needed."
    ),
]


class CreatedStream(BaseModel):
    """A stream to be read. Its first reader starts it."""

    id: str
    agent: str
    model: str
    token: Token
    events_url: str
    url: str
    cancel_url: str


class InStep(TypedDict):
    """`step` is the key of the step that this belongs to; without one, it is in no step."""

    step: NotRequired[str]


# A part has the members of its event. A member that is added to one of these events is told, too.
_open = with_config(ConfigDict(extra="allow"))


@_open
class TextPart(InStep):
    """A text of the model's reasoning, or of the answer."""

    kind: Literal["thinking", "answer"]
    text: str


@_open
class ToolReturn(InStep):
    """The result of a tool: its `output`, which is JSON, or the `error` with which it failed."""

    output: JsonValue
    error: str | None


@_open
class ToolCallPart(InStep):
    """A call of a tool; it runs until there is a result."""

    kind: Literal["tool_call"]
    id: str
    name: str
    arguments: dict[str, JsonValue]
    state: Literal["running", "done", "failed"]
    result: ToolReturn | None


@_open
class ProgressPart(InStep):
    """The progress of long work. `total` is null where the amount of work is unknown."""

    kind: Literal["progress"]
    label: str
    done: float
    total: float | None


@_open
class DataPart(InStep):
    """A value to show, which is JSON."""

    kind: Literal["data"]
    name: str
    value: JsonValue
    id: str


@_open
class SourcePart(InStep):
    """A source of the answer."""

    kind: Literal["source"]
    title: str
    url: str


@_open
class OtherPart(InStep):
    """An event of another kind, with its members."""

    kind: str


# In this order, so that a part is of another kind only if it fits none.
Part = Annotated[
    TextPart | ToolCallPart | ProgressPart | DataPart | SourcePart | OtherPart,
    Field(union_mode="left_to_right"),
]


class Turn(BaseModel):
    """A message of the conversation that a stream answers."""

    role: str
    content: str


class _Snapshot(BaseModel):
    """A stream as far as it has come.

    `messages` are those that it answers, and `follows` the streams that have added to them, oldest
    first; both are empty for an agent with an input of its own. `parts` is what its events add up
    to. The text of each kind is a member of its own as well.
    """

    # Its schema is the largest, and a first token does not need it.
    model_config = ConfigDict(defer_build=True)

    id: str
    agent: str
    model: str
    status: Status
    finish_reason: str | None
    usage: Usage | None
    error: Failure | None
    last_event_id: str
    token: Token
    events_url: str
    expires_at: int = Field(description="Unix time in seconds.")
    messages: list[Turn]
    follows: list[str]
    parts: list[Part]


TEXTS: tuple[type[Text], ...] = tuple(each for each in EVENTS if issubclass(each, Text))

Snapshot: type[_Snapshot] = create_model(
    "Snapshot",
    __base__=_Snapshot,
    __doc__=_Snapshot.__doc__,
    **{each.kind: (str, ...) for each in TEXTS},  # type: ignore[call-overload]
)


class AgentInfo(BaseModel):
    """An agent that answers. OpenAPI has the form of its input under `POST /streams`."""

    name: str
    description: str


class Health(BaseModel):
    """The application answers; the store and the provider are not asked."""

    status: Literal["ok"]
    access: Mode
    provider: str | None = Field(
        default=None, description="Only for callers that may create streams."
    )
    models: list[str] | None = Field(
        default=None, description="Only for callers that may create streams."
    )
    agents: list[AgentInfo] | None = Field(
        default=None, description="The default first; only for callers that may create streams."
    )
