"""Agents: async generators of events, and how each is resumed after an interruption."""

import re
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import cleandoc, isasyncgenfunction
from typing import Any, Generic, Literal, TypeAlias, get_args

from pydantic import BaseModel
from typing_extensions import TypeVar

from app.events import Start
from app.models.base import Request
from app.task import Task
from durable_stream import Event, Resume

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

Input = TypeVar("Input", default=Request)
Function: TypeAlias = Callable[[Task[Input]], AsyncGenerator[Event]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent(Generic[Input]):
    """An agent, by its name in `POST /streams`. Make one with the decorator `agent`.

    `resume` says how another process continues after an interruption:

    `restart`   the agent starts over, and readers drop the text so far; finished steps are kept
    `continue`  the agent yields the events that follow `task.said`
    `replay`    the agent starts over, and readers notice nothing; it must yield the same events
    `never`     the agent does not run again, and the answer ends with the error `interrupted`

    `input` is the model of its input, None for a prompt or a conversation. A stream that another
    `version` has begun is resumed as `on_change` says. `most_tokens` is the most that one attempt
    may cost, for the budget: by default one request to the model, and nothing for an agent with an
    input of its own.
    """

    name: str
    function: Function[Input]
    resume: Resume = "restart"
    input: type[BaseModel] | None = None
    version: str = ""
    on_change: Literal["restart", "never"] = "restart"
    most_tokens: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError with what to change."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} cannot name an agent: give it a `name=` of 1 to 64 letters, "
                "digits, and `_-`"
            )
        if self.resume not in get_args(Resume):
            ways = ", ".join(get_args(Resume))
            raise ValueError(f"the agent {self.name} has resume={self.resume!r}: use one of {ways}")
        if not _yields(self.function):
            raise ValueError(
                f"the agent {self.name} is not an async generator: write `async def`, and yield "
                "events"
            )
        if self.input is not None and "agent" in self.input.model_fields:
            raise ValueError(
                f"rename the member `agent` of {self.input.__name__}: it names the agent"
            )

    def __call__(self, task: Task[Input]) -> AsyncGenerator[Event]:
        """The events of an attempt."""
        return self.function(task)

    @property
    def description(self) -> str:
        """The first line of the function's docstring."""
        return cleandoc(self.function.__doc__ or "").partition("\n")[0]

    def resume_of(self, start: Start) -> Resume:
        """How a stream of this agent is resumed."""
        if self.resume == "never" or start.version == self.version:
            return self.resume
        return self.on_change

    def decoded(self, start: Start) -> Any:
        """The input of a stream."""
        if self.input is None:
            return Request.decode(start.input)
        return self.input.model_validate_json(start.input)


def agent(
    *,
    resume: Resume = "restart",
    input: type[BaseModel] | None = None,  # noqa: A002 - the natural name for those who call
    name: str = "",
    version: str = "",
    on_change: Literal["restart", "never"] = "restart",
    most_tokens: int | None = None,
) -> Callable[[Function[Any]], Agent[Any]]:
    """Make an agent of an async generator; without a `name` it has the function's.

    Raises ValueError with what to change.
    """

    def decorate(function: Function[Any]) -> Agent[Any]:
        return Agent(
            name=name or _name_of(function),
            function=function,
            resume=resume,
            input=input,
            version=version,
            on_change=on_change,
            most_tokens=most_tokens,
        )

    return decorate


AnyAgent: TypeAlias = Agent[Any] | Function[Any]


class Agents:
    """The agents of an application by name, the default first.

    A function that is not decorated restarts. Raises ValueError for two agents of one name, and for
    none.
    """

    def __init__(self, agents: Iterable[AnyAgent]) -> None:
        all_agents = [each if isinstance(each, Agent) else agent()(each) for each in agents]
        if not all_agents:
            raise ValueError("AGENTS is empty: name at least one agent")
        by_name: dict[str, Agent[Any]] = {}
        for each in all_agents:
            if each.name in by_name:
                raise ValueError(
                    f"two agents are called {each.name!r}: give one of them a different `name=`"
                )
            by_name[each.name] = each
        self.by_name: Mapping[str, Agent[Any]] = by_name
        self.default = all_agents[0]

    def named(self, name: str | None) -> Agent[Any] | None:
        """The agent of this name, the default one for None; None if there is no such agent."""
        return self.default if name is None else self.by_name.get(name)

    def of(self, start: Start) -> Agent[Any] | None:
        """The agent of a stream, None if this version of the application has no such agent."""
        return self.named(start.agent or None)


def _yields(function: Function[Any]) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 - it may be an async generator
    return isasyncgenfunction(function) or isasyncgenfunction(call)


def _name_of(function: Function[Any]) -> str:
    name: str = getattr(function, "__name__", type(function).__name__)
    return name
