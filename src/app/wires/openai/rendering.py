"""Rendering: from the records of a stream to the events of OpenAI's Responses API.

The order is the one that the helpers of OpenAI's SDKs insist on: a response is created, each item
is added, grows and is done before the next one, and the last event has the whole response, which is
authoritative. There is no event that takes something back. So an item that a reset drops is done
once more, as incomplete and without its text, and the last event's response is without it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from app.events import Answer, Thinking, ToolCall, ToolResult
from app.folding import Parts
from app.wires.openai import items
from app.wires.openai.items import CallItem, Item, OutputItem, TextItem
from app.wires.openai.parts import Part
from app.wires.openai.response import ResponseObject
from app.wires.rendering import Json
from durable_stream import Event, Record, Reset, Text

_Named = tuple[str, Json]


class ResponseRendering:
    """The events of one response."""

    def __init__(self) -> None:
        self.response = ResponseObject()
        self._sequence = 0
        self._parts: Parts[Part[Item]] = Parts(Part[Item])
        self._items: list[Item] = []
        self._open: tuple[Part[Item], TextItem] | None = None
        self._call_ids: set[str] = set()

    def render(self, record: Record) -> Sequence[Json]:
        """The events for the next record. Every record from position 0 on is handed in once."""
        event = record.event
        if record.seq == 0:
            named = self._started(record)
        elif isinstance(event, Reset):
            named = self._started_over(event)
        elif event.terminal:
            named = self._ended(event)
        else:
            named = self._went_on(event)
        return [self._numbered(*each) for each in named]

    def _numbered(self, type_: str, members: Json) -> Json:
        number = self._sequence
        self._sequence += 1
        return {"type": f"response.{type_}", "sequence_number": number, **members}

    # The response

    def _started(self, record: Record) -> Iterator[_Named]:
        self.response = ResponseObject.of(record)
        yield "created", {"response": self.snapshot()}
        yield "in_progress", {"response": self.snapshot()}

    def _ended(self, event: Event) -> Iterator[_Named]:
        ended = self.response.ended(event)
        yield from self._close("completed" if ended == "completed" else "incomplete")
        yield ended, {"response": self.snapshot()}

    def snapshot(self) -> Json:
        """The response as far as it has come."""
        return self.response.json([each.json() for each in self._items if not each.dropped])

    # Its items

    def _went_on(self, event: Event) -> Iterator[_Named]:
        part = self._parts.add(event)
        if part is None:
            return
        match event:
            case Text(kind=Answer.kind | Thinking.kind):
                yield from self._said(part, event)
            case ToolCall():
                yield from self._close("completed")
                yield from self._called(part, event)
            case ToolResult():
                yield from self._close("completed")
                yield from self._returned(part, event)
            case _:
                pass  # There is no form for it. The text behind it is another part.

    def _said(self, part: Part[Item], event: Text) -> Iterator[_Named]:
        if self._open is None or self._open[0] is not part:
            yield from self._close("completed")
            yield from self._begin(part, thinking=event.kind == Thinking.kind)
        assert self._open is not None
        item = self._open[1]
        item.pieces.append(event.text)
        if text := item.halves.joined(event.text):
            yield _grown(item, text)

    def _begin(self, part: Part[Item], *, thinking: bool) -> Iterator[_Named]:
        item = TextItem(self._id("rs" if thinking else "msg"), len(self._items), thinking=thinking)
        self._open = (part, item)
        yield self._add(part, item)
        yield "content_part.added", {**_of(item), "part": item.part("")}

    def _close(self, status: items.Status) -> Iterator[_Named]:
        """Finish the text that is being said, if one is."""
        if self._open is None:
            return
        item = self._open[1]
        self._open = None
        item.status = status
        if (half := item.halves.rest()) and not item.dropped:
            yield _grown(item, half)
        text = {**_of(item), "text": item.text}
        if item.thinking:
            yield "reasoning_text.done", text
        else:
            yield "output_text.done", {**text, "logprobs": []}
        yield "content_part.done", {**_of(item), "part": item.part(item.text)}
        yield _done(item)

    def _called(self, part: Part[Item], call: ToolCall) -> Iterator[_Named]:
        item = CallItem(self._id("fc"), len(self._items), call_id=self._call_id(call.id), call=call)
        yield self._add(part, item)
        place = {"item_id": item.id, "output_index": item.index}
        yield "function_call_arguments.delta", {**place, "delta": item.arguments}
        item.status = "completed"
        yield (
            "function_call_arguments.done",
            {**place, "name": call.name, "arguments": item.arguments},
        )
        yield _done(item)

    def _call_id(self, id_: str) -> str:
        """The id of a call; behind a reset it may come again, which the SDKs do not take."""
        while id_ in self._call_ids:
            id_ += f"_{len(self._items)}"
        self._call_ids.add(id_)
        return id_

    def _returned(self, part: Part[Item], result: ToolResult) -> Iterator[_Named]:
        call = next((each for each in part.places if isinstance(each, CallItem)), None)
        item = OutputItem(
            self._id("fco"),
            len(self._items),
            status="completed",
            call_id=call.call_id if call is not None else self._call_id(result.id),
            output=items.told(result),
        )
        yield self._add(part, item)
        yield _done(item)

    def _add(self, part: Part[Item], item: Item) -> _Named:
        part.places.append(item)
        self._items.append(item)
        return "output_item.added", {"output_index": item.index, "item": item.json()}

    def _id(self, prefix: str) -> str:
        """An item's id: the stream's, and how many items came before."""
        return f"{prefix}_{self.response.stream_id}_{len(self._items)}"

    # Starting over

    def _started_over(self, reset: Reset) -> Iterator[_Named]:
        dropped = self._parts.start_over(reset.within)
        gone = [item for part in dropped.parts for item in part.places]
        for part in dropped.results:
            outputs = [each for each in part.places if isinstance(each, OutputItem)]
            gone += outputs
            part.places = [each for each in part.places if each not in outputs]
        for item in gone:
            item.dropped = True
        if self._open is not None and self._open[1].dropped:
            yield from self._close("incomplete")
            gone = [item for item in gone if item.status != "incomplete"]
        for item in sorted(gone, key=lambda item: item.index):
            item.status = "incomplete"
            yield _done(item)


def _of(item: TextItem) -> Json:
    return {"item_id": item.id, "output_index": item.index, "content_index": 0}


def _grown(item: TextItem, text: str) -> _Named:
    delta = _of(item)
    delta["delta"] = text
    if item.thinking:
        return "reasoning_text.delta", delta
    delta["logprobs"] = []
    return "output_text.delta", delta


def _done(item: Item) -> _Named:
    return "output_item.done", {"output_index": item.index, "item": item.json()}


# By the version in the start of a stream.
VERSIONS: Mapping[int, Callable[[], ResponseRendering]] = {1: ResponseRendering}
