"""Seams: where an answer is continued by another attempt."""

from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events import Answer, Done, Thinking
from app.models.base import Continuation, Message, Request
from app.models.continuation import (
    SHORTEST_OVERLAP,
    asked_to_continue,
    overlap,
    seamless,
    to_continue,
    whole,
    without_overlap,
)
from durable_stream import Event

pytestmark = pytest.mark.anyio

FINISH = Done("stop", 1, 2)
REQUEST = Request(messages=(Message("user", "question"),), model="m", max_tokens=9)
HOWS: tuple[Continuation, ...] = ("prefill", "asked")


async def continued(answer: str, how: Continuation, *texts: str) -> str:
    async def deltas() -> AsyncGenerator[Event]:
        for text in texts:
            yield Answer(text)
        yield FINISH

    return answer + said([delta async for delta in seamless(deltas(), answer, how)])


async def trimmed(answer: str, *texts: str, shortest: int = SHORTEST_OVERLAP) -> list[Event]:
    async def deltas() -> AsyncGenerator[Event]:
        for text in texts:
            yield Answer(text)
        yield FINISH

    return [delta async for delta in without_overlap(deltas(), answer, shortest)]


def said(deltas: list[Event]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, Answer))


@pytest.mark.parametrize("size", [1, 3, 7, 100])
async def test_what_a_model_repeats_at_the_seam_is_trimmed(size: int) -> None:
    text = "the quick brown fox jumps over the lazy dog"
    pieces = [text[start : start + size] for start in range(0, len(text), size)]

    deltas = await trimmed("Once, the quick brown fox ", *pieces)

    assert said(deltas) == "jumps over the lazy dog"
    assert deltas[-1] == FINISH


async def test_what_is_too_short_to_be_a_repetition_is_kept() -> None:
    """“hel” + “lo” must not become “helo”."""
    assert said(await trimmed("hel", "lo there, how are you?")) == "lo there, how are you?"


async def test_a_new_beginning_is_not_held_back() -> None:
    deltas = await trimmed("Once upon a time", "there ", "was")

    assert deltas == [Answer("there "), Answer("was"), FINISH]


async def test_an_answer_that_is_all_repetition_leaves_nothing() -> None:
    assert await trimmed("and they lived happily", "they lived", " happily") == [FINISH]


async def test_white_space_at_a_prefills_end_is_trimmed_as_far_as_it_comes_again() -> None:
    """A prefill may not end in white space, so that is removed, and often repeated."""
    assert said(await trimmed("word \n", " \nnext", shortest=1)) == "next"


async def test_thinking_is_not_touched() -> None:
    async def deltas() -> AsyncGenerator[Event]:
        yield Thinking("a repeated ending")
        yield Answer("a repeated ending, and more")
        yield FINISH

    result = [delta async for delta in without_overlap(deltas(), "with a repeated ending")]

    assert result == [Thinking("a repeated ending"), Answer(", and more"), FINISH]


@given(st.text(alphabet="ab ", max_size=40), st.text(alphabet="ab ", max_size=40))
def test_an_overlap_is_the_longest_end_that_is_also_a_beginning(tail: str, text: str) -> None:
    length = overlap(tail, text, shortest=1)

    assert tail.endswith(text[:length])
    assert not any(
        tail.endswith(text[:longer]) for longer in range(length + 1, min(len(tail), len(text)) + 1)
    )


def test_asking_quotes_the_partial_answer_in_the_last_turn_and_adds_none() -> None:
    """Bedrock refuses two turns of one role; new models refuse to end with the assistant's."""
    messages = (Message("user", "a"), Message("assistant", "b"), Message("user", "question"))
    request = Request(messages=messages, model="m", max_tokens=9)

    asking = asked_to_continue(request, "half an ans")

    assert asking.messages[:2] == messages[:2]
    (last,) = asking.messages[2:]
    assert last.role == "user"
    assert last.content.startswith("question\n")
    assert "<delivered>half an ans</delivered>" in last.content


def test_a_prefill_is_the_assistants_turn_begun_without_white_space_at_its_end() -> None:
    (question, begun) = to_continue(REQUEST, "half an \n", "prefill").messages

    assert question == REQUEST.messages[0]
    assert begun == Message("assistant", "half an")


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("answer", ["", " \n"])
def test_without_text_to_go_on_with_the_request_is_sent_as_it_is(
    answer: str, how: Continuation
) -> None:
    """Services refuse a blank turn of the assistant's."""
    assert to_continue(REQUEST, answer, how) is REQUEST


@pytest.mark.parametrize("how", HOWS)
async def test_a_model_that_begins_with_the_white_space_that_was_said_does_not_double_it(
    how: Continuation,
) -> None:
    assert await continued("\n\n", how, "\n", "\nHello") == "\n\nHello"


@pytest.mark.parametrize(
    ("answer", "texts", "whole"),
    [
        ("a b \n", [" ", "\nnext"], "a b \nnext"),
        ("a b \n", ["next"], "a b \nnext"),
        ("a b\n", ["\n\nnext"], "a b\n\nnext"),
        ("a long way to go", ["a long way to go"], "a long way to goa long way to go"),
        ("na", ["na na"], "nana na"),
        ("a b ", [" b b"], "a b b b"),
    ],
)
async def test_a_prefills_text_is_never_trimmed(answer: str, texts: list[str], whole: str) -> None:
    assert await continued(answer, "prefill", *texts) == whole


async def test_one_that_was_asked_is_trimmed_by_what_it_repeats() -> None:
    answer = "and they lived happily"

    assert await continued(answer, "asked", "they lived happily", " ever after") == (
        "and they lived happily ever after"
    )


@given(
    st.text(alphabet="-=|0 ab\n", min_size=1, max_size=5), st.integers(1, 40), st.integers(0, 200)
)
def test_text_that_repeats_itself_is_never_taken_for_a_repetition(
    unit: str, times: int, cut: int
) -> None:
    """A table's rule, zeros, indentation: a correct continuation of it must stay whole."""
    text = unit * times * 2
    tail, rest = text[: cut % len(text)], text[cut % len(text) :]

    assert overlap(tail, rest) == 0


async def test_some_repeated_paragraphs_are_trimmed_too() -> None:
    answer = " ".join(f"word{number}" for number in range(300))

    assert said(await trimmed(answer, answer[-1500:], " and more")) == " and more"


async def unbroken(*deltas: Event) -> list[Event]:
    async def source() -> AsyncGenerator[Event]:
        for delta in deltas:
            yield delta

    return [delta async for delta in whole(source())]


@pytest.mark.parametrize("kind", [Thinking, Answer])
@pytest.mark.parametrize(
    ("pieces", "passed_on"),
    [
        (["a\ud83d", "\ude80b"], ["a", "🚀b"]),
        (["\ud83d", "\ude80"], ["🚀"]),
        (["a\ud83d", "\ude80\ud83c", "\udf89"], ["a", "🚀", "🎉"]),
        (["a\ud83d", "b"], ["a", "\ud83db"]),
        (["a", "\ude80b"], ["a", "\ude80b"]),
        (["a\ud83d"], ["a", "\ud83d"]),
    ],
)
async def test_a_character_cut_in_half_is_passed_on_when_it_is_whole(
    kind: type[Thinking | Answer], pieces: list[str], passed_on: list[str]
) -> None:
    """Half a pair without its other half passes unchanged: the log keeps the model's text."""
    deltas: list[Event] = [kind(piece) for piece in pieces]

    assert await unbroken(*deltas, FINISH) == [*(kind(each) for each in passed_on), FINISH]


async def test_halves_of_a_thought_and_of_an_answer_make_no_character() -> None:
    halves: list[Event] = [Thinking("\ud83d"), Answer("\ude80")]

    assert await unbroken(*halves, FINISH) == [*halves, FINISH]


async def test_half_a_character_in_front_of_a_failure_is_left_to_the_next_attempt() -> None:
    assert await unbroken(Answer("a\ud83d")) == [Answer("a")]
