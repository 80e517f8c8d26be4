"""The wire of chat completions."""

from typing import Any

from app.models.openai import OpenAIProvider
from tests.app.models.wires import Wire, frame


def chunk(delta: Any, finish_reason: str | None = None, **members: Any) -> bytes:
    """A chunk of a chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return frame({"object": "chat.completion.chunk", "choices": [choice], **members})


DONE = b"data: [DONE]\n\n"
USAGE = frame({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}})

WIRE = Wire(
    "openai",
    OpenAIProvider.from_environ,
    frames=[
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning": "hm… "}),
        chunk({"content": "naïve\u2028café"}),
        chunk({"content": " 🚀\n\n"}),
        chunk({"content": "data: the end"}),
        chunk({}, "stop"),
        USAGE,
        DONE,
    ],
    completing=6,
    unknown_end=[chunk({}, "news")],
)
