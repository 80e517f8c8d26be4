"""The loops of docs/clients.md, for tests: each survives what the test does meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from openai import APIConnectionError, APIError, AsyncOpenAI
from openai.types.responses import Response

ENDS = ("response.completed", "response.incomplete", "response.failed")


@dataclass
class Heard:
    """The events of one response that a client received."""

    id: str = ""
    numbers: list[int] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    end: Response | None = None
    errors: list[APIError] = field(default_factory=list)

    @property
    def response(self) -> Response:
        assert self.end is not None
        return self.end

    def take(self, event: Any) -> None:
        """Note an event as it comes."""
        self.numbers.append(event.sequence_number)
        if event.type == "response.created":
            self.id = event.response.id
        if event.type == "response.output_text.delta":
            self.texts[event.item_id] = self.texts.get(event.item_id, "") + event.delta
        if event.type == "response.output_item.done" and event.item.type == "message":
            self.texts[event.item.id] = "".join(part.text for part in event.item.content)
        if event.type in ENDS:
            self.end = event.response


async def respond(
    openai: AsyncOpenAI, on_event: Callable[[Any], None] = lambda _: None, **members: Any
) -> Heard:
    """The whole response, however often its connection ends."""
    heard = Heard()
    while heard.end is None:
        try:
            if heard.id:
                stream = await openai.responses.retrieve(
                    heard.id, stream=True, starting_after=heard.numbers[-1]
                )
            else:
                stream = await openai.responses.create(stream=True, **members)
            async for event in stream:
                heard.take(event)
                on_event(event)
        except APIConnectionError as error:
            heard.errors.append(error)
        except APIError as error:
            if error.code != "interrupted":
                raise
            heard.errors.append(error)
    return heard


async def complete(
    openai: AsyncOpenAI,
    key: str,
    on_chunk: Callable[[Any], None] = lambda _: None,
    **members: Any,
) -> tuple[str, str, int]:
    """The id, the text and the number of tries of a completion."""
    tries = 0
    while True:
        tries += 1
        id_, text, finished = "", "", None
        try:
            stream = await openai.chat.completions.create(
                stream=True, extra_headers={"Idempotency-Key": key}, **members
            )
            async for chunk in stream:
                on_chunk(chunk)
                id_ = chunk.id
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    finished = choice.finish_reason or finished
        except APIConnectionError:
            continue
        except APIError as error:
            if error.code not in ("interrupted", "started_over"):
                raise
            continue
        if finished:
            return id_, text, tries
