"""The function with an agent whose answer has everything that the wire knows."""

from app.events import Answer, Data, Progress, Source, Thinking, ToolCall, ToolResult
from tests.wires.function import breaking, chat, handler_of, yielding

EVERY_PART = yielding(
    Thinking("I think, "),
    Thinking("therefore I call. "),
    Answer("Naïve 🚀 "),
    ToolCall("1", "weather", {"place": "Paris"}),
    Progress("Indexing", 3, 10),
    ToolResult("1", {"degrees": 21, "__proto__": None}),
    ToolCall("2", "stocks", {}),
    ToolResult("2", error="The exchange is closed."),
    Progress("Indexing", 10, 10),
    ToolCall("3", "slow", {"seconds": 60}),
    Data("Words", 1200),
    Data("Place", {"name": "Paris"}, "1"),
    Data("Place", {"name": "Rome"}, "1"),
    Source("A map", "https://example.com/map"),
    Answer("and 日本"),
    Answer("語."),
)

handler = handler_of(chat, EVERY_PART, breaking)
