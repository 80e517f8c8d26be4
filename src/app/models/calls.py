"""From the calls in a model's stream, which come in pieces, to the end of a turn.

The calls decide how a turn ends, not the reason that the server gives: servers name any reason
beside calls. A turn that reached the longest length has no calls, since half a call may look whole.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from app.events import Done
from app.models.base import Request
from app.models.failures import failure
from app.models.turns import NAME, Call, Round, ToolUse, ids_of, whole_text

Reason = Literal["stop", "length", "tool_use", "pause"]

_NOT_JSON = "The arguments are not valid JSON. Call the tool again with one JSON object."
_NO_OBJECT = "The arguments are not a JSON object. Call the tool again with one."


@dataclass(slots=True)
class Draft:
    """A call as it arrives; `text` is the JSON of its arguments so far.

    `extra` are members that a wire wants back with the call.
    """

    id: str = ""
    name: str = ""
    text: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """True if the arguments are an object already."""
        return isinstance(_value(self.text), dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The end of a turn, as a server reports it; `ids` are the ids that the wire takes back."""

    reason: Reason
    drafts: Sequence[Draft]
    ids: re.Pattern[str]
    input_tokens: int | None
    output_tokens: int | None

    def event(
        self, request: Request, content: Callable[[Sequence[Call]], Mapping[str, Any]]
    ) -> Done | ToolUse:
        """The last event of the turn that answers `request`; `content` is the turn with its calls.

        Raises `provider_garbled` for a call without a name, and for calls that did not come.
        """
        counts = self.input_tokens, self.output_tokens
        if self.reason == "length" or self._is_cut(request):
            return Done("length", *counts)
        calls = self._calls(request) if request.tools else ()
        if calls or self.reason == "pause":
            return ToolUse(calls, content(calls), *counts)
        if self.reason == "tool_use":
            raise failure("provider_garbled")
        return Done(self.reason, *counts)

    def _is_cut(self, request: Request) -> bool:
        """True where a server names another reason, but the longest length cut the last call."""
        if not self.drafts or self.output_tokens is None:
            return False
        return self.output_tokens >= request.max_tokens and not self.drafts[-1].is_whole

    def _calls(self, request: Request) -> tuple[Call, ...]:
        """The calls. An id that is missing, taken or of no use is replaced.

        The new one is made from round and position: the same turn always has the same ids.
        """
        taken = ids_of(request.rounds)
        calls: list[Call] = []
        for position, draft in enumerate(self.drafts):
            if not draft.name:
                raise failure("provider_garbled")
            arguments, error = _arguments(draft.text)
            fits = draft.id not in taken and self.ids.fullmatch(draft.id)
            id_ = draft.id if fits else _made(len(request.rounds), position, taken)
            taken.add(id_)
            calls.append(Call(id_, _fitting(draft.name), arguments, error))
        return tuple(calls)


def for_wire(wire: str, turn: Round) -> Round:
    """The turn, whose ids and names any service takes if it came on another wire."""
    if wire in turn.content:
        return turn
    calls = [replace(each, id=_fitting(each.id), name=_fitting(each.name)) for each in turn.calls]
    results = [replace(each, id=_fitting(each.id)) for each in turn.results]
    return replace(turn, calls=tuple(calls), results=tuple(results))


def _fitting(name: str) -> str:
    """The name or id, made to fit the rules of all services for names."""
    return name if NAME.fullmatch(name) else re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64]


def _made(round_: int, position: int, taken: Collection[str]) -> str:
    # Nine letters and digits: Mistral's models take no other ids.
    made = f"call{round_:02}{position:03}"
    while made in taken:
        made += "x"
    return made


def _arguments(text: str) -> tuple[dict[str, Any], str]:
    """The arguments in a text, and what is wrong with it. No text is no arguments."""
    if text.strip() in {"", "null"}:
        return {}, ""
    value = _value(text)
    if isinstance(value, str):
        value = _value(value)  # Some servers encode an object twice.
    if isinstance(value, dict):
        return whole_text(value), ""
    return {}, _NOT_JSON if value is None else _NO_OBJECT


def _value(text: str) -> Any:
    """The value of a JSON text, None for any other. Infinity is not JSON."""
    try:
        return json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        return None


def _refused(constant: str) -> None:
    raise ValueError(constant)
