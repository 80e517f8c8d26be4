"""Inputs: the bodies from which streams are created, one form for each agent's input."""

from dataclasses import replace
from typing import Annotated, Any, Literal, Union

from pydantic import (
    BaseModel,
    Discriminator,
    Tag,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import PydanticSerializationError

from app.agents import Agent, Agents
from app.api.requests import model_request
from app.api.schemas import CreateStream
from app.conversation import Conversation
from app.events import RENDERING, Start
from app.exceptions import RequestRefused
from app.settings import PromptLimits
from durable_stream.events import MAX_EVENT, encode

_CHAT = "a prompt or a conversation"
_NO_CONVERSATION = "this agent has an input of its own, and continues no conversation"


_NEW = Conversation()


class Inputs:
    """The forms of `POST /streams` for these agents, and the starts that they become.

    `body` is the type of the body. `models` are the names of the models, the default first.
    """

    def __init__(self, agents: Agents, models: tuple[str, ...], limits: PromptLimits) -> None:
        self.agents = agents
        self._models = models
        self._limits = limits
        self.body = self._body()

    def start(self, body: BaseModel, owner: str, before: Conversation = _NEW) -> Start:
        """The start of a stream that follows `before`; raises RequestRefused over a limit."""
        if isinstance(body, CreateStream):
            agent = self.named(body.agent)
            request = model_request(body, before.messages, self._models, self._limits)
            start = self._start(agent, request.encode(), owner, request.model, agent.most_tokens)
            return _following(start, before)
        agent = self.named(getattr(body, "agent", None))
        try:
            text = body.model_dump_json(exclude={"agent"}, by_alias=True, round_trip=True)
        except (PydanticSerializationError, UnicodeEncodeError):
            raise _no_text() from None
        start = self._start(agent, text, owner, self._models[0], agent.most_tokens or 0)
        agent.decoded(start)  # An input that does not come back fails here, and not in the stream.
        return start

    def start_of_query(self, owner: str, query: CreateStream, before: Conversation = _NEW) -> Start:
        """The start for `GET /sse`. An agent with an input of its own takes the prompt alone."""
        agent = self.named(query.agent)
        if agent.input is None:
            return self.start(query, owner, before)
        if query.previous is not None:
            raise RequestRefused(422, "no_conversation", f"`previous`: {_NO_CONVERSATION}.")
        try:
            form = _form(agent, required=True)
            return self.start(
                form.model_validate({"agent": agent.name, "prompt": query.prompt}), owner
            )
        except ValidationError:
            raise RequestRefused(
                422,
                "invalid_request",
                f"The agent {agent.name!r} takes more than a prompt: use POST /streams.",
            ) from None

    def named(self, name: str | None, *, status: int = 422) -> Agent[Any]:
        """The agent of this name, the default one for None; raises RequestRefused."""
        agent = self.agents.named(name)
        if agent is None:
            known = ", ".join(self.agents.by_name)
            raise RequestRefused(
                status, "unknown_agent", f"This agent is not served. Use one of: {known}."
            )
        return agent

    def _start(
        self, agent: Agent[Any], text: str, owner: str, model: str, most_tokens: int | None
    ) -> Start:
        return Start(
            text, owner, model, agent.name, agent.version, most_tokens, rendering=RENDERING
        )

    def _body(self) -> Any:
        agents, default = self.agents.by_name.values(), self.agents.default
        forms: list[Any] = [
            Annotated[_form(agent, required=agent is not default), Tag(agent.name)]
            for agent in agents
            if agent.input is not None
        ]
        if len(forms) < len(agents):
            forms.append(Annotated[CreateStream, Tag(_CHAT)])
        if len(forms) == 1:
            return forms[0]
        discriminator = Discriminator(
            self._form_of,
            custom_error_type="unknown_agent",
            custom_error_message=f"use one of: {', '.join(self.agents.by_name)}",
        )
        return Annotated[Union[tuple(forms)], discriminator]  # noqa: UP007 - made at run time

    def _form_of(self, value: Any) -> str | None:
        name = value.get("agent") if isinstance(value, dict) else getattr(value, "agent", None)
        agent = self.agents.named(None if name is None else str(name))
        if agent is None:
            return None
        return agent.name if agent.input is not None else _CHAT


def _following(start: Start, before: Conversation) -> Start:
    followed = replace(start, follows=before.streams)
    if before.streams and len(encode(followed)) > MAX_EVENT:
        raise RequestRefused(
            413,
            "conversation_too_long",
            "The conversation is too long to be continued: begin a new one, or follow an earlier "
            "stream of it.",
        )
    return followed


def _no_text() -> RequestRefused:
    return RequestRefused(
        422, "invalid_request", "The text holds half a surrogate pair, which is no text."
    )


def _form(agent: Agent[Any], *, required: bool) -> type[BaseModel]:
    """The body for an agent with an input of its own: the input's members, and its name."""
    assert agent.input is not None
    name: Any = Literal[agent.name]
    field: Any = (name, ...) if required else (name | None, None)
    title = "".join(part.capitalize() for part in agent.name.split("_"))
    refusing: Any = model_validator(mode="before")(_refuse_previous)
    return create_model(
        f"Create{title}Stream",
        __base__=agent.input,
        __doc__=agent.description,
        __validators__={"_no_previous": refusing},
        agent=field,
    )


def _refuse_previous(cls: type[BaseModel], value: Any) -> Any:
    """Refuse the member that a conversation is continued by, which would be ignored."""
    if isinstance(value, dict) and "previous" in value and "previous" not in cls.model_fields:
        raise ValueError(f"`previous`: {_NO_CONVERSATION}")
    return value
