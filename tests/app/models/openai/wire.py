"""The wire of chat completions."""

from typing import Any

from app.models.openai import OpenAIProvider
from tests.app.models.wires import Wire, frame


def chunk(delta: Any, finish_reason: str | None = None, **members: Any) -> bytes:
    """A chunk of a chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return frame({"object": "chat.completion.chunk", "choices": [choice], **members})


def call(index: int | None = 0, **members: Any) -> dict[str, Any]:
    """A piece of a call: `name` and `arguments` are members of its function."""
    function = {name: members.pop(name) for name in ("name", "arguments") if name in members}
    place = {} if index is None else {"index": index}
    return {**place, **members, "function": function}


def calls(*pieces: dict[str, Any], finish_reason: str | None = None) -> bytes:
    """A chunk with pieces of calls."""
    return chunk({"tool_calls": [*pieces]}, finish_reason)


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

# The frames of tests.app.models.services.TURN, and its message as it goes back.
TURN = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": "Hm. "}),
    chunk({"content": "I look "}),
    chunk({"content": "it up."}),
    calls(call(0, id="toolu_1", type="function", name="weather", arguments="")),
    calls(call(0, arguments='{"city": "Zü')),
    calls(call(0, arguments='rich", "da')),
    calls(call(0, arguments='ys": 2}')),
    calls(call(1, id="toolu_2", type="function", name="now", arguments="")),
    calls(call(1, arguments="{}")),
    chunk({}, "tool_calls"),
    USAGE,
    DONE,
]
MESSAGE = {
    "role": "assistant",
    "content": "I look it up.",
    "reasoning_content": "Hm. ",
    "tool_calls": [
        {
            "id": "toolu_1",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city": "Zürich", "days": 2}'},
        },
        {"id": "toolu_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
    ],
}
