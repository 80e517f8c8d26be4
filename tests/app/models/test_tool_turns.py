"""Turns that call tools, by the rules that hold for every provider of a model."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from app.events import Answer, Done
from app.models.base import Message, Partial, Request
from app.models.turns import Round, ToolUse
from tests.app.models.services import CALLS, KINDS, RESULTS, TURN, Service, service
from tests.app.models.wires import asked

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("kind", KINDS)]

Body = dict[str, Any]


@pytest.fixture
async def model(kind: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    async with service(kind, monkeypatch) as running:
        yield running


async def turn_of(model: Service, request: Request | None = None, said: str = "") -> ToolUse:
    """The last event of a turn with calls."""
    request = request or model.request_with_tools
    events, code = await asked(model.provider, request, Partial(answer=said))
    assert code is None
    assert isinstance(events[-1], ToolUse)
    return events[-1]


async def after_a_round(model: Service, said: str = "") -> Request:
    """The request after one round."""
    model.answers = [[*model.turn]]
    turn = await turn_of(model)
    model.asked.clear()
    return replace(
        model.request_with_tools,
        rounds=(Round(calls=turn.calls, results=RESULTS, content=turn.content, before=said),),
    )


def texts(value: Any) -> Iterator[str]:
    """All strings in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


def roles(body: Body) -> list[str]:
    return [each["role"] for each in body["messages"]]


# Reading a turn


async def test_a_turn_has_its_text_and_ends_with_its_calls(model: Service) -> None:
    model.answers = [[*model.turn]]

    events, code = await asked(model.provider, model.request_with_tools)

    *spoken, end = events
    assert (spoken, code) == (TURN, None)
    assert isinstance(end, ToolUse)
    assert end.calls == CALLS
    assert end.output_tokens in {7, 22}


async def test_a_turn_that_is_cut_anywhere_is_whole_or_cut_and_never_has_a_broken_call(
    model: Service,
) -> None:
    """Arguments may look complete wherever the connection ends."""
    for count in range(len(model.turn) + 1):
        model.answers = [[*model.turn[:count]]]

        events, code = await asked(model.provider, model.request_with_tools)

        is_whole = count >= model.whole
        assert code == (None if is_whole else "provider_cut"), count
        assert isinstance(events[-1] if events else None, ToolUse) == is_whole
        if is_whole:
            assert events[:-1] == TURN
            assert isinstance(events[-1], ToolUse)
            assert events[-1].calls == CALLS
        else:
            assert events == TURN[: len(events)]


async def test_the_longest_length_within_a_call_ends_the_answer_without_calls(
    model: Service,
) -> None:
    model.answers = [[*model.cut_call]]

    events, code = await asked(model.provider, model.request_with_tools)

    assert (events[:-1], code) == (TURN, None)
    assert isinstance(events[-1], Done)
    assert events[-1].finish_reason == "length"


async def test_a_call_where_no_tools_were_offered_is_a_failure(model: Service) -> None:
    model.answers = [[*model.turn]]

    assert await asked(model.provider, model.request) == (TURN, "tool_use_unsupported")


async def test_a_model_with_tools_may_just_answer(model: Service) -> None:
    model.answers = [[model.text("Hello"), *model.end]]

    events, code = await asked(model.provider, model.request_with_tools)

    assert (events[0], code) == (Answer("Hello"), None)
    assert isinstance(events[-1], Done)


async def test_an_id_that_an_earlier_round_had_is_replaced(model: Service) -> None:
    """Some servers number their calls anew in every round. The new id is always the same."""
    request = await after_a_round(model)

    turns = [await turn_of(model, request) for _ in range(2)]

    assert [call.id for call in turns[0].calls] == ["call01000", "call01001"]
    assert turns[0] == turns[1]
    sent_back = set(texts(dict(turns[0].content)))
    assert {"call01000", "call01001"} <= sent_back
    assert "toolu_1" not in sent_back


# Sending it back


async def test_without_tools_a_request_says_nothing_of_them(model: Service) -> None:
    model.answers = [[model.text("Hello"), *model.end]]

    await asked(model.provider, model.request)

    assert not {name for name in model.asked[0] if "tool" in name}


async def test_a_round_goes_back_as_two_turns(model: Service) -> None:
    request = await after_a_round(model)
    model.answers = [[model.text("It is sunny."), *model.end]]

    events, _ = await asked(model.provider, request)

    assert events[0] == Answer("It is sunny.")
    (body,) = model.asked
    assert roles(body)[:2] == ["user", "assistant"]
    assert set(roles(body)[2:]) < {"user", "tool"}
    said = [*texts(body["messages"])]
    assert {"Hm. ", "I look it up.", '{"sky": "grün"}', "Error: no clock"} <= set(said)
    assert not [text for text in said if not text.strip()], "services refuse blank text"


async def test_a_round_from_another_service_goes_back_as_well(model: Service) -> None:
    """Where a deployment changed the provider within an answer. Its ids are made to fit."""
    call, result = CALLS[0], RESULTS[0]
    odd = "functions.weather:0"
    foreign = Round(
        text="I look.",
        calls=(replace(call, id=odd),),
        results=(replace(result, id=odd),),
        content={"another": ["anything"]},
    )
    model.answers = [[model.text("Sunny."), *model.end]]

    await asked(model.provider, replace(model.request_with_tools, rounds=(foreign,)))

    (body,) = model.asked
    said = [*texts(body["messages"])]
    assert said.count("functions_weather_0") == 2
    assert "anything" not in said
    assert "I look." in said


async def test_a_turn_of_nothing_but_calls_goes_back_without_text(model: Service) -> None:
    blank = [frame for frame in model.turn if b"look" not in frame and b"it up" not in frame]
    model.answers = [blank]
    turn = await turn_of(model)
    request = replace(
        model.request_with_tools,
        rounds=(Round(calls=turn.calls, results=RESULTS, content=turn.content),),
    )
    model.answers = [[model.text("Sunny."), *model.end]]
    model.asked.clear()

    await asked(model.provider, request)

    said = [*texts(model.asked[0]["messages"])]
    assert not [text for text in said if not text.strip()]


# Going on with a turn that broke off


async def test_behind_a_round_the_rest_is_asked_for_in_turns_of_their_own(model: Service) -> None:
    """Many services refuse text beside the results of tools."""
    model.provider.models = ("a-model-that-is-asked",)  # type: ignore[misc]
    request = await after_a_round(model)
    model.answers = [[model.text(" sunny."), *model.end]]

    events, _ = await asked(model.provider, request, Partial(answer="It is"))

    assert events[0] == Answer(" sunny.")
    (body,) = model.asked
    assert roles(body)[-3:] in (["user", "assistant", "user"], ["tool", "assistant", "user"])
    assert [*texts(body["messages"][-2])].count("It is") == 1
    assert "Go on exactly where it stops" in " ".join(texts(body["messages"][-1]))


async def test_a_continued_turn_goes_back_with_the_words_that_continued_it(
    model: Service,
) -> None:
    """Thinking may be bound to all that was said before it."""
    model.provider.models = ("a-model-that-is-asked",)  # type: ignore[misc]
    model.answers = [[*model.turn]]
    turn = await turn_of(model, said="Let me see. ")
    (first,) = model.asked
    request = replace(
        model.request_with_tools,
        rounds=(
            Round(calls=turn.calls, results=RESULTS, content=turn.content, before="Let me see. "),
        ),
    )

    await asked(model.provider, request)

    assert model.asked[1]["messages"][:1] == first["messages"]
    assert "<delivered>Let me see. </delivered>" in " ".join(texts(first["messages"]))


async def test_the_second_round_may_have_been_continued_too(model: Service) -> None:
    model.provider.models = ("a-model-that-is-asked",)  # type: ignore[misc]
    request = await after_a_round(model)
    turn = await turn_of(model, request, said="And now")
    (before,) = model.asked
    results = tuple(replace(RESULTS[0], id=call.id) for call in turn.calls)
    second = Round(calls=turn.calls, results=results, content=turn.content, before="And now")

    await asked(model.provider, replace(request, rounds=(*request.rounds, second)))

    after = model.asked[1]["messages"]
    assert after[: len(before["messages"])] == before["messages"]
    assert "And now" in [*texts(before["messages"])]


async def test_the_length_that_is_left_counts_behind_rounds_too(model: Service) -> None:
    request = await after_a_round(model)

    events, _ = await asked(model.provider, request, Partial(answer="It is", tokens=100))

    assert events == [Done("length", 0, 0)]
    assert not model.asked


# Encoding


@pytest.mark.usefixtures("kind")
def test_a_request_without_tools_keeps_its_text() -> None:
    request = Request(messages=(Message("user", "hi"),), model="m", max_tokens=9, temperature=0.0)

    assert request.encode() == (
        '{"max_tokens":9,"messages":[{"content":"hi","role":"user"}],"model":"m","temperature":0.0}'
    )


async def test_a_request_with_rounds_comes_back_as_it_was(model: Service) -> None:
    request = replace(
        await after_a_round(model, "so far"),
        after=(Message("user", "go on"),),
        answer_now=True,
    )

    assert Request.decode(request.encode()) == request
    assert request.size_bytes > model.request.size_bytes
