"""The JSON of a step's arguments and value."""

import json
from collections.abc import Sequence
from typing import Any, Protocol


class Codec(Protocol):
    """Writes and reads JSON. Raises TypeError or ValueError for what has none."""

    def dump(self, value: Any) -> str:
        """The value as JSON."""
        ...

    def load(self, text: str) -> Any:
        """The inverse of `dump`."""
        ...

    def arguments(self, args: Sequence[Any]) -> str:
        """The arguments as JSON: the same text for the same arguments, in every process."""
        ...


class PlainJson(Codec):
    """The codec for values that `json` takes as they are."""

    def dump(self, value: Any) -> str:
        """The value as one line of ASCII JSON, members sorted."""
        return json.dumps(value, sort_keys=True, separators=(",", ":"))

    def load(self, text: str) -> Any:
        """The inverse of `dump`."""
        return json.loads(text)

    def arguments(self, args: Sequence[Any]) -> str:
        """The arguments as a list."""
        return self.dump(list(args))


PLAIN_JSON = PlainJson()
