"""The events of a response: their numbers, their order, and what they add up to."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from openai._models import construct_type
from openai._types import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent

from app.events import Answer, Done, Start, Thinking, ToolCall, ToolResult
from app.wires.openai.rendering import VERSIONS, ResponseRendering
from app.wires.rendering import of_start
from durable_stream import Cancelled, Failed, Heartbeat, Record, Reset
from tests.wires.logs import STREAM_ID, logs, of_events
from tests.wires.openai_api.adding_up import of_log, of_output

RESPONSE_ID = f"resp_{STREAM_ID}"
ENDS = {"response.completed", "response.incomplete", "response.failed"}

Events = list[dict[str, Any]]


def rendered(records: Sequence[Record]) -> Events:
    rendering = ResponseRendering()
    return [event for record in records for event in rendering.render(record)]


def types(events: Events) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def helper(events: Events) -> ResponseStreamState[None]:
    """The SDK's helper behind these events; it raises where an order rule is broken."""
    state: ResponseStreamState[None] = ResponseStreamState(text_format=omit, input_tools=omit)
    for event in events:
        state.handle_event(cast("Any", construct_type(type_=ResponseStreamEvent, value=event)))
    return state


@given(logs())
def test_numbers_are_dense_and_ids_are_the_streams(log: list[Record]) -> None:
    events = rendered(log)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    ids = [event["response"]["id"] for event in events if "response" in event]
    assert set(ids) == {RESPONSE_ID}
    added = [e["item"]["id"] for e in events if e["type"] == "response.output_item.added"]
    assert len(set(added)) == len(added)
    assert all(STREAM_ID in id_ for id_ in added)


@given(st.data(), logs())
def test_the_events_behind_any_cursor_are_the_same_in_every_process(
    data: st.DataObject, log: list[Record]
) -> None:
    whole = rendered(log)
    cut = data.draw(st.integers(0, len(log)))
    before, all_ = rendered(log[:cut]), rendered(log)
    last = before[-1]["sequence_number"] if before else -1
    assert before + [event for event in all_ if event["sequence_number"] > last] == whole


@given(logs(complete=True))
def test_the_last_response_adds_up_to_the_log(log: list[Record]) -> None:
    last = rendered(log)[-1]
    assert last["type"] in ENDS
    assert of_output(last["response"]["output"]) == of_log(log)


@given(logs(complete=True))
def test_the_deltas_of_a_text_are_the_text_by_plain_concatenation(log: list[Record]) -> None:
    """Python does not join the two halves of a surrogate pair; JavaScript does."""
    texts: Counter[str] = Counter()
    said: dict[str, str] = {}
    for event in rendered(log):
        if event["type"].endswith("text.delta"):
            said[event["item_id"]] = said.get(event["item_id"], "") + event["delta"]
        if event["type"].endswith("text.done") and event["text"]:
            assert said[event["item_id"]] == event["text"]
            texts[event["item_id"]] += 1
    assert set(texts.values()) <= {1}


def test_arguments_are_json_whatever_the_agent_calls() -> None:
    call = ToolCall("1", "f", {"a": float("nan"), "b": [float("inf")], "c": 1})
    events = rendered(of_events(call, Done("stop", 1, 1)))
    arguments = next(e["arguments"] for e in events if "arguments" in e)

    def refuse(_: str) -> None:
        raise AssertionError

    assert json.loads(arguments, parse_constant=refuse) == {"a": "NaN", "b": "[Infinity]", "c": 1}


@given(logs())
def test_the_response_so_far_adds_up_to_the_log(log: list[Record]) -> None:
    rendering = ResponseRendering()
    for record in log:
        rendering.render(record)
    assert of_output(rendering.snapshot()["output"]) == of_log(log)


@settings(deadline=None)  # The SDK makes its types when they are first needed.
@given(logs())
def test_the_order_is_one_that_the_helper_of_the_sdk_takes(log: list[Record]) -> None:
    state = helper(rendered(log))
    if isinstance(log[-1].event, Done) and log[-1].event.finish_reason == "stop":
        response = state._completed_response
        assert response is not None
        assert of_output(json.loads(response.to_json())["output"]) == of_log(log)


@given(logs())
def test_an_item_is_open_while_it_grows_and_no_two_texts_are(log: list[Record]) -> None:
    open_items: set[int] = set()
    for event in rendered(log):
        match event["type"].removeprefix("response."):
            case "output_item.added":
                assert not open_items
                open_items.add(event["output_index"])
            case "output_item.done":
                open_items.discard(event["output_index"])
            case "created" | "in_progress":
                assert not open_items
            case _ if event["type"] in ENDS:
                assert not open_items
            case _:
                assert event["output_index"] in open_items


@given(logs())
def test_only_the_last_event_is_an_end(log: list[Record]) -> None:
    events = rendered(log)
    assert not any(event["type"] in ENDS for event in events[:-1])
    assert (events[-1]["type"] in ENDS) == log[-1].terminal


def test_an_answer_with_thinking() -> None:
    log = of_events(Thinking("Hm"), Thinking("m."), Answer("Yes"), Heartbeat(), Done("stop", 3, 5))
    events = rendered(log)
    text = ("output_item.added", "content_part.added")
    done = ("content_part.done", "output_item.done")
    assert types(events) == [
        *("created", "in_progress"),
        *(*text, "reasoning_text.delta", "reasoning_text.delta", "reasoning_text.done", *done),
        *(*text, "output_text.delta", "output_text.done", *done),
        "completed",
    ]
    assert events[-1]["response"]["usage"]["total_tokens"] == 8
    assert events[-1]["response"]["status"] == "completed"


def test_a_call_that_the_server_runs_comes_with_its_output() -> None:
    log = of_events(ToolCall("1", "look", {"at": "it"}), ToolResult("1", {"seen": 1}), Done("stop"))
    events = rendered(log)
    assert types(events)[2:-1] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "output_item.done",
    ]
    call, output = events[-1]["response"]["output"]
    assert (call["name"], call["arguments"], call["call_id"]) == ("look", '{"at":"it"}', "1")
    assert (output["call_id"], output["output"]) == ("1", '{"seen": 1}')


def test_a_dropped_item_is_done_once_more_without_its_text() -> None:
    log = of_events(Answer("Wro"), ToolCall("1", "f", {}), Answer("ng"), Reset(), Answer("Right"))
    events = rendered(log)
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert [(item["id"][:3], item["status"]) for item in done] == [
        *(("msg", "completed"), ("fc_", "completed")),
        *(("msg", "incomplete"), ("msg", "incomplete"), ("fc_", "incomplete")),
    ]
    assert [item["content"] for item in done[2:4]] == [[], []]


def test_the_id_of_a_call_that_comes_again_is_another() -> None:
    calls = [ToolCall("1", "f", {}), Reset(), ToolCall("1", "f", {}), ToolResult("1", "x")]
    output = rendered(of_events(*calls, Done("stop")))[-1]["response"]["output"]
    assert [item["call_id"] for item in output] == ["1_1", "1_1"]


def test_an_answer_that_is_cut_at_its_longest_is_incomplete() -> None:
    last = rendered(of_events(Answer("a"), Done("length")))[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert last["response"]["output"][0]["status"] == "incomplete"


def test_cancelled_is_a_status_and_no_event() -> None:
    last = rendered(of_events(Answer("a"), Cancelled()))[-1]
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "cancelled")


def test_a_failure_is_told() -> None:
    last = rendered(of_events(Failed("broken", "It broke.", retryable=True)))[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"] == {"code": "broken", "message": "It broke."}


def test_an_agent_with_an_input_of_its_own_is_rendered_too() -> None:
    first = rendered(of_events(start=Start('{"city":"Rome"}', "someone", "some-model", "job")))[0]
    assert first["response"]["instructions"] is None


def test_the_version_in_the_start_says_how_it_is_rendered() -> None:
    assert isinstance(of_start(VERSIONS, of_events()[0]), ResponseRendering)
