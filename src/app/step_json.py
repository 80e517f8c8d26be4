"""The JSON of steps, by the types that their functions declare."""

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from durable_stream import Codec


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
        """The arguments as JSON."""
        return _dumped(_ANYTHING.dump_python(list(args), mode="json"))


_ANYTHING = TypeAdapter(Any)


def codec_for(function: Callable[..., Any]) -> Codec:
    """The codec by the function's return annotation."""
    try:
        return _codec(get_type_hints(function).get("return", Any))
    except (NameError, TypeError):  # An annotation of another scope, or an unhashable one.
        return _codec(Any)


@lru_cache(maxsize=256)
def _codec(type_: Any) -> Codec:
    return TypedJson(type_)


def _dumped(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
