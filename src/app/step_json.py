"""The JSON of steps, by the types that their functions declare."""

import json
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, Self, get_type_hints

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from durable_stream import Codec, StepRefused


class TypedJson(Codec):
    """Values of one type, as pydantic validates and serializes them."""

    def __init__(self, type_: Any) -> None:
        self._adapter = TypeAdapter(type_)

    def dump(self, value: Any) -> str:
        """The value as one line of ASCII JSON; raises ValueError for what has no JSON."""
        return _dumped(self._adapter.dump_python(value, mode="json"))

    def load(self, text: str) -> Any:
        """The value; raises ValueError if the type has changed since it was recorded."""
        return self._adapter.validate_python(json.loads(text))

    def arguments(self, args: Sequence[Any]) -> str:
        """The arguments as JSON; raises TypeError for a set, whose order varies by process."""
        _refuse_sets(_ANYTHING.dump_python(list(args)))
        return _dumped(_ANYTHING.dump_python(list(args), mode="json"))


_ANYTHING = TypeAdapter(Any)


def codec_for(name: str, function: Callable[..., Any]) -> Codec:
    """The codec by the return annotation of a step's function.

    Raises StepRefused for a type that has no JSON.
    """
    while isinstance(function, partial):
        function = function.func
    try:
        declared = function if isinstance(function, type) else _declared(function)
        return _codec(declared)
    except PydanticUserError as error:
        raise StepRefused(
            "step_invalid",
            f"The function of the step {name!r} returns a type that has no JSON: return numbers, "
            "text, lists, dicts, dataclasses or pydantic models.",
        ) from error


def _declared(function: Callable[..., Any]) -> Any:
    try:
        declared = get_type_hints(function).get("return", Any)
        hash(declared)
    except (NameError, TypeError):  # An annotation of another scope, or an unhashable one.
        return Any
    return Any if declared is Self else declared


def _refuse_sets(value: Any) -> None:
    match value:
        case set() | frozenset():
            raise TypeError("a set has no order: pass a sorted list")
        case dict():
            for each in value.values():
                _refuse_sets(each)
        case list() | tuple():
            for each in value:
                _refuse_sets(each)
        case _:
            pass


@lru_cache(maxsize=256)
def _codec(type_: Any) -> Codec:
    return TypedJson(type_)


def _dumped(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
