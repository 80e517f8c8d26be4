"""The function with an agent whose answer has everything that the wire knows, and more."""

from app.events import Answer, Data, Progress, Source, Thinking, ToolCall, ToolResult
from durable_stream import Event
from tests.wires.function import breaking, chat, handler_of, yielding


class Note(Event):
    """An event that the wire does not know."""

    kind = "note"
    title: str


EVERY_PART = yielding(
    Thinking("I think, "),
    Thinking("therefore I call."),
    Answer("Naïve \ud83d"),
    Answer("\ude80 "),
    ToolCall("1", "weather", {"place": "Zürich"}),
    ToolCall("2", "stocks", {}),
    Progress("Indexing", 3, 10),
    Answer("and mean"),
    Note("First"),
    ToolResult("2", error="The exchange is closed."),
    Answer("while "),
    Progress("Indexing", 10, 10),
    ToolResult("1", {"degrees": 21}),
    ToolCall("3", "slow", {"seconds": 60}),
    Data("Words", 1200),
    Data("Place", {"name": "Paris"}, "a/1"),
    Data("Place", {"name": "Rome"}, "a/1"),
    Note("Second"),
    Source("A map", "https://example.com/map"),
    Thinking("Yes."),
    Answer("日本"),
    Answer("語."),
)

handler = handler_of(chat, EVERY_PART, breaking, kinds=[Note])
