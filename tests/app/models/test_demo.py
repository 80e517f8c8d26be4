"""The demo respects `max_tokens`, however often it is interrupted, and calls tools by a script."""

from dataclasses import replace
from typing import Literal

import pytest

from app.events import Answer, Done, Thinking
from app.models.base import Message, Partial, Request
from app.models.demo import DemoProvider
from app.models.tools import tool
from app.models.turns import Result, Round, ToolUse
from durable_stream import Event

pytestmark = pytest.mark.anyio

DEMO = DemoProvider(tokens_per_second=1e6, first_token_seconds=0)


@tool
def weather(
    city: str,
    days: int,
    unit: Literal["C", "F"],
    near: list[str | None],
    short: bool,  # noqa: FBT001
) -> str:
    """The weather."""
    return f"{city} {days} {unit} {near} {short}"


@tool
def now() -> str:
    """The time."""
    return "late"


TOOLS = (weather.spec, now.spec)


def request_of(prompt: str, *rounds: Round) -> Request:
    messages = (Message("user", prompt),)
    return Request(messages=messages, model="demo", max_tokens=500, tools=TOOLS, rounds=rounds)


async def said(request: Request, delivered: str = "") -> tuple[str, Event]:
    """The text of a turn behind what was delivered, and its last event."""
    *texts, end = [each async for each in DEMO.stream(request, Partial(answer=delivered))]
    return "".join(each.text for each in texts if isinstance(each, Answer)), end


async def round_of(request: Request) -> Round:
    _, turn = await said(request)
    assert isinstance(turn, ToolUse)
    results = tuple(Result(call.id, f"the {call.name}") for call in turn.calls)
    return Round(calls=turn.calls, results=results)


@pytest.mark.parametrize("position", range(0, 130, 13))
async def test_a_continued_demo_is_no_longer_than_max_tokens(position: int) -> None:
    """Thinking does not count: otherwise every test would have to allow for it."""
    demo = DemoProvider(tokens_per_second=1e6, tokens=500, first_token_seconds=0)
    request = Request(messages=(Message("user", "hi"),), model="demo", max_tokens=20)
    whole = "".join(demo.script(request).answer[:20])
    before = whole[:position]

    deltas = [delta async for delta in demo.stream(request, Partial(answer=before))]

    rest = "".join(delta.text for delta in deltas if isinstance(delta, Answer))
    assert before + rest == whole
    finish = deltas[-1]
    assert isinstance(finish, Done)
    assert finish.finish_reason == "length"


# Tools


async def test_a_tool_that_the_prompt_mentions_is_called_with_words_of_the_prompt() -> None:
    text, turn = await said(request_of("Is the weather in Paris fine?"))

    assert text == "I call weather, and shall tell you the results.\n\n"
    assert isinstance(turn, ToolUse)
    (call,) = turn.calls
    assert (call.id, call.name) == ("call00000", "weather")
    assert call.arguments == {
        "city": "Is the in Paris fine?",
        "days": 1,
        "unit": "C",
        "near": ["Is the in Paris fine?"],
        "short": True,
    }
    assert weather.problem(call.arguments) == ""


async def test_without_a_name_the_first_tool_is_called_on_request() -> None:
    _, turn = await said(request_of("/tool Paris"))

    assert isinstance(turn, ToolUse)
    assert [(call.name, call.arguments["city"]) for call in turn.calls] == [("weather", "Paris")]


async def test_each_line_with_tools_is_a_round_and_then_the_results_are_quoted() -> None:
    prompt = "First weather, now and weather.\nThen think.\nThen now."
    first = await round_of(request_of(prompt))
    second = await round_of(request_of(prompt, first))
    text, end = await said(request_of(prompt, first, second))

    assert [call.name for call in first.calls] == ["weather", "now", "weather"]
    assert [(call.id, call.name) for call in second.calls] == [("call01000", "now")]
    assert text.count("The result of weather is: the weather") == 2
    assert text.count("The result of now is: the now") == 2
    assert isinstance(end, Done)
    assert end.finish_reason == "stop"


@pytest.mark.parametrize("rounds", [0, 1])
async def test_a_turn_with_tools_continues_at_the_exact_character(rounds: int) -> None:
    request = request_of("weather")
    if rounds:
        request = replace(request, rounds=(await round_of(request),))
    whole, end = await said(request)

    for position in range(len(whole) + 1):
        assert await said(request, whole[:position]) == (whole[position:], end)


async def test_without_a_mention_or_tools_or_where_calls_are_over_it_answers() -> None:
    mentioned = request_of("weather")
    for request in (
        request_of("hello"),
        replace(mentioned, tools=()),
        replace(mentioned, answer_now=True),
    ):
        events = [each async for each in DEMO.stream(request, Partial())]

        assert isinstance(events[0], Thinking)
        assert isinstance(events[-1], Done)


async def test_a_turn_that_is_too_long_calls_nothing() -> None:
    _, end = await said(replace(request_of("weather"), max_tokens=3))

    assert isinstance(end, Done)
    assert end.finish_reason == "length"
