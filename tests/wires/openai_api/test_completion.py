"""The chunks of a chat completion: what they add up to, and what cannot be taken back."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from app.events import Answer, Done, Thinking, ToolCall, ToolResult
from app.folding import fold
from app.wires.openai.completion import Completion, StartedOver
from durable_stream import Cancelled, Record, Reset
from durable_stream.text import mended
from tests.wires.logs import batches, events, logs, of_events
from tests.wires.openai_api.adding_up import of_log


def chunks(cut: Sequence[Sequence[Record]], *, usage: bool = False) -> list[dict[str, Any]]:
    completion = Completion()
    sent: list[dict[str, Any]] = []
    for batch in cut:
        if batch:
            completion.take(batch)
            sent += completion.chunks(usage=usage)
    return sent


def text(sent: Sequence[dict[str, Any]], member: str) -> str:
    return "".join(c["delta"].get(member, "") for chunk in sent for c in chunk["choices"])


def said(log: Sequence[Record], kind: str) -> str:
    parts = fold(events(log))
    return mended("".join(part["text"] for part in parts if part["kind"] == kind))


def assert_said(sent: Sequence[dict[str, Any]], log: Sequence[Record]) -> None:
    """The text has a UTF-8 form; half a surrogate pair waits for the other one, or for the end."""
    for member, kind in {"content": "answer", "reasoning_content": "thinking"}.items():
        waiting = "" if log[-1].terminal else "\ufffd"
        assert said(log, kind) in {text(sent, member), text(sent, member) + waiting}


def whole(log: Sequence[Record]) -> Completion:
    completion = Completion()
    completion.take(log)
    return completion


@given(st.data(), logs())
def test_what_was_sent_is_what_the_log_says_or_an_error(
    data: st.DataObject, log: list[Record]
) -> None:
    try:
        sent = chunks(data.draw(batches(log)))
    except StartedOver:
        assert any(isinstance(record.event, Reset) for record in log)
        return
    assert_said(sent, log)


@given(logs())
def test_the_log_at_hand_is_sent_whatever_was_dropped_in_it(log: list[Record]) -> None:
    sent = chunks([log])
    assert_said(sent, log)
    calls = [
        call
        for c in sent
        for choice in c["choices"]
        for call in choice["delta"].get("tool_calls", ())
    ]
    assert [call["function"]["name"] for call in calls] == [
        value[0] for kind, value in of_log(log) if kind == "call"
    ]
    assert [call["index"] for call in calls] == list(range(len(calls)))


@settings(deadline=None)  # The SDK makes its types when they are first needed.
@given(st.data(), logs(complete=True))
def test_the_helper_of_the_sdk_ends_with_what_is_answered_in_one_piece(
    data: st.DataObject, log: list[Record]
) -> None:
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    usage = data.draw(st.booleans())
    try:
        for chunk in chunks(data.draw(batches(log)), usage=usage):
            state.handle_chunk(ChatCompletionChunk.construct(**chunk))
    except StartedOver:
        return
    # The helper raises an error at the end of an answer that was cut at its longest.
    if isinstance(log[-1].event, Done) and log[-1].event.finish_reason == "stop":
        expected = whole(log).json()["choices"][0]
        choice = state.get_final_completion().choices[0]
        assert (choice.message.content or "") == expected["message"]["content"]
        assert choice.finish_reason == expected["finish_reason"]


def test_text_that_was_sent_cannot_be_taken_back() -> None:
    log = of_events(Answer("Wrong"), Reset(), Answer("Right"))
    with pytest.raises(StartedOver):
        chunks([log[:2], log[2:]])
    assert text(chunks([log]), "content") == "Right"


def test_a_reset_that_drops_nothing_sent_goes_unnoticed() -> None:
    log = of_events(Answer("a"), Answer("b", within="s"), Reset(within="s"), Answer("c"))
    assert text(chunks([log[:2], log[2:]]), "content") == "ac"


def test_the_first_chunk_has_the_role_and_the_last_the_reason() -> None:
    log = of_events(Thinking("m"), Answer("a"), Done("length", 1, 2))
    sent = chunks([[each] for each in log])
    deltas = [chunk["choices"][0]["delta"] for chunk in sent]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "m"},
        {"content": "a"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in sent][-2:] == [None, "length"]
    assert not any("usage" in chunk for chunk in sent)


def test_counts_come_where_they_are_asked_for() -> None:
    *others, last = chunks([of_events(Answer("a"), Done("stop", 1, 2))], usage=True)
    assert all(chunk["usage"] is None for chunk in others)
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def test_calls_that_the_server_runs_are_told_and_not_asked_for() -> None:
    log = of_events(ToolCall("1", "look", {"at": 1}), ToolResult("1", "x"), Done("stop"))
    sent = chunks([log])
    assert [c["choices"][0]["delta"].get("tool_calls") for c in sent if c["choices"]][1] == [
        {
            "index": 0,
            "id": "1",
            "type": "function",
            "function": {"name": "look", "arguments": '{"at":1}'},
        }
    ]
    assert sent[-1]["choices"][0]["finish_reason"] == "stop"


def test_an_end_that_is_no_answer_gets_no_reason() -> None:
    assert not any(c["choices"][0]["finish_reason"] for c in chunks([of_events(Cancelled())]))
