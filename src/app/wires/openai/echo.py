"""Echo: the members of a response that the log does not have, and that its creator gets back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from app.pointers import Pointers
from app.wires.rendering import Json

_NAME = "openai:echo:"


@dataclass(frozen=True, slots=True)
class Echo:
    """The members as they came with the request."""

    background: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)

    def added_to(self, response: Json) -> Json:
        """The response with the members."""
        return {**response, "background": self.background, "metadata": dict(self.metadata)}

    async def keep(self, pointers: Pointers, owner: str, stream_id: str) -> None:
        """Keep them for those who retrieve the response, if there is anything to keep."""
        if self.background or self.metadata:
            told = json.dumps({"background": self.background, "metadata": dict(self.metadata)})
            await pointers.put(owner, _NAME + stream_id, told)

    @classmethod
    async def of(cls, pointers: Pointers, owner: str, stream_id: str) -> Self:
        """The members that were kept for a response."""
        kept = await pointers.get(owner, _NAME + stream_id)
        return cls() if kept is None else cls(**json.loads(kept))
