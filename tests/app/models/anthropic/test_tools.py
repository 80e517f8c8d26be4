"""Tools on Anthropic's wire: its requests, and its blocks, which go back as they came."""

from dataclasses import replace
from typing import Any

import pytest

from app.events import Answer, Done, Thinking
from app.models.base import Partial, Request
from app.models.turns import Call, Result, Round, ToolUse
from durable_stream import Event
from tests.app.models.anthropic.wire import (
    BLOCK_STOP,
    BLOCKS,
    MESSAGE_STOP,
    TURN,
    WIRE,
    arguments,
    block_delta,
    block_start,
    block_stop,
    message_delta,
    message_start,
    tool_start,
)
from tests.app.models.http.model_server import ModelServer, Reply
from tests.app.models.services import CALLS, RESULTS, TOOLS
from tests.app.models.wires import PROMPT, REQUEST, Connect, Wire, asked

pytestmark = pytest.mark.anyio

WITH_TOOLS = replace(REQUEST, tools=TOOLS)
OLD = replace(WITH_TOOLS, model="claude-sonnet-4-5")
START = message_start(input_tokens=11, output_tokens=1)
USED = [message_delta("tool_use", output_tokens=7), MESSAGE_STOP]


@pytest.fixture
def wire() -> Wire:
    return WIRE


async def end_of(
    server: ModelServer, connect: Connect, *frames: bytes, request: Request = WITH_TOOLS
) -> Event:
    server.answer = lambda _: Reply([START, *frames])
    events, code = await asked(connect(), request)
    assert code is None
    return events[-1]


async def turn_of(server: ModelServer, connect: Connect, *frames: bytes) -> ToolUse:
    end = await end_of(server, connect, *frames)
    assert isinstance(end, ToolUse)
    return end


async def body_with(
    server: ModelServer, connect: Connect, request: Request, said: str = ""
) -> dict[str, Any]:
    server.answer = lambda _: Reply([START, block_delta(type="text_delta", text="x"), *TURN[-2:]])
    await asked(connect(), request, Partial(answer=said))
    return server.asked[-1].body


# Requests


async def test_tools_and_rounds_are_sent_as_blocks(server: ModelServer, connect: Connect) -> None:
    turn = await turn_of(server, connect, *TURN)
    round_ = Round(calls=turn.calls, results=RESULTS, content=turn.content)

    body = await body_with(server, connect, replace(WITH_TOOLS, rounds=(round_,)))

    assert body["tools"] == [
        {"name": each.name, "description": each.description, "input_schema": each.parameters}
        for each in TOOLS
    ]
    assert "tool_choice" not in body
    assert body["messages"] == [
        {"role": "user", "content": PROMPT},
        {"role": "assistant", "content": BLOCKS},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": '{"sky": "grün"}'},
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_2",
                    "content": "Error: no clock",
                    "is_error": True,
                },
            ],
        },
    ]


async def test_the_last_request_allows_no_calls_and_still_names_the_tools(
    server: ModelServer, connect: Connect
) -> None:
    """Thinking may be bound to them."""
    body = await body_with(server, connect, replace(WITH_TOOLS, answer_now=True))

    assert body["tool_choice"] == {"type": "none"}
    assert len(body["tools"]) == 2


async def test_behind_a_round_claude_up_to_4_5_is_given_its_answer_so_far(
    server: ModelServer, connect: Connect
) -> None:
    turn = await turn_of(server, connect, *TURN)
    round_ = Round(calls=turn.calls, results=RESULTS, content=turn.content)

    body = await body_with(server, connect, replace(OLD, rounds=(round_,)), said="half an \n")

    assert body["messages"][-1] == {"role": "assistant", "content": "half an"}


@pytest.mark.parametrize("frames", [TURN[4:], [*TURN[8:]]], ids=["text", "no text"])
async def test_a_turn_that_continued_a_prefill_goes_back_with_it_in_one_text(
    server: ModelServer, connect: Connect, frames: list[bytes]
) -> None:
    turn = await turn_of(server, connect, *frames)
    rest = "I look it up." if len(frames) > 11 else ""
    round_ = Round(
        calls=turn.calls, results=RESULTS, content=turn.content, before="Well, \n", prefilled=True
    )

    body = await body_with(server, connect, replace(OLD, rounds=(round_,)))

    assert body["messages"][1]["content"][0] == {"type": "text", "text": f"Well,{rest}"}
    assert [block["type"] for block in body["messages"][1]["content"]] == [
        "text",
        "tool_use",
        "tool_use",
    ]


# Blocks


async def test_thinking_goes_back_byte_for_byte_also_where_it_is_hidden(
    server: ModelServer, connect: Connect
) -> None:
    """Newer models sign thinking that they do not show. Unsigned thinking was cut, and is lost."""
    turn = await turn_of(
        server,
        connect,
        block_start(type="thinking", thinking="", signature=""),
        block_delta(type="signature_delta", signature="aGlk"),
        block_delta(type="signature_delta", signature="ZGVu"),
        BLOCK_STOP,
        block_start(1, type="redacted_thinking", data="c2VjcmV0"),
        block_stop(1),
        block_start(2, type="thinking", thinking=" \n", signature=""),
        block_stop(2),
        *TURN[8:],
    )

    assert [*turn.content["anthropic"]][:2] == [
        {"type": "thinking", "thinking": "", "signature": "aGlkZGVu"},
        {"type": "redacted_thinking", "data": "c2VjcmV0"},
    ]
    assert [block["type"] for block in turn.content["anthropic"]][2:] == ["tool_use", "tool_use"]


async def test_blank_text_does_not_go_back_and_unknown_blocks_do(
    server: ModelServer, connect: Connect
) -> None:
    turn = await turn_of(
        server,
        connect,
        block_start(type="text", text=""),
        block_delta(type="text_delta", text="\n\n"),
        BLOCK_STOP,
        block_start(1, type="hologram", data={"x": 1}),
        block_delta(1, type="hologram_delta", data="?"),
        block_stop(1),
        *TURN[8:],
    )

    assert turn.content["anthropic"][0] == {"type": "hologram", "data": {"x": 1}}
    assert len(turn.content["anthropic"]) == 3


async def test_citations_go_back_with_their_text(server: ModelServer, connect: Connect) -> None:
    turn = await turn_of(
        server,
        connect,
        block_start(type="text", text="", citations=[]),
        block_delta(type="text_delta", text="It is."),
        block_delta(type="citations_delta", citation={"type": "char_location"}),
        BLOCK_STOP,
        *TURN[8:],
    )

    assert turn.content["anthropic"][0] == {
        "type": "text",
        "text": "It is.",
        "citations": [{"type": "char_location"}],
    }


async def test_half_a_character_in_two_pieces_goes_back_whole(
    server: ModelServer, connect: Connect
) -> None:
    turn = await turn_of(
        server,
        connect,
        block_delta(type="thinking_delta", thinking="a\\ud83d").replace(b"\\\\u", b"\\u"),
        block_delta(type="thinking_delta", thinking="\\ude80b").replace(b"\\\\u", b"\\u"),
        block_delta(type="signature_delta", signature="c2ln"),
        tool_start("toolu_1", "weather", 1),
        arguments(r'{"city": "\ud83d\ude80", "near": "\ud83d"}', 1),
        *USED,
    )

    thinking, call = turn.content["anthropic"]
    assert thinking["thinking"] == "a🚀b"
    assert call["input"] == {"city": "🚀", "near": "\ufffd"}
    assert turn.calls[0].arguments == call["input"]


async def test_a_tool_of_the_service_is_not_ours_to_run_and_goes_back(
    server: ModelServer, connect: Connect
) -> None:
    turn = await turn_of(
        server,
        connect,
        block_start(type="server_tool_use", id="srv_1", name="web_search", input={}),
        arguments('{"query": "x"}'),
        BLOCK_STOP,
        block_start(1, type="web_search_tool_result", tool_use_id="srv_1", content=[{"a": 1}]),
        block_stop(1),
        *TURN[8:],
    )

    assert turn.calls == CALLS
    assert turn.content["anthropic"][:2] == [
        {
            "type": "server_tool_use",
            "id": "srv_1",
            "name": "web_search",
            "input": {"query": "x"},
        },
        {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [{"a": 1}]},
    ]


async def test_a_paused_turn_goes_back_without_results(
    server: ModelServer, connect: Connect
) -> None:
    turn = await turn_of(
        server, connect, *TURN[4:8], message_delta("pause_turn", output_tokens=7), MESSAGE_STOP
    )
    round_ = Round(calls=turn.calls, content=turn.content)

    body = await body_with(server, connect, replace(WITH_TOOLS, rounds=(round_,)))

    assert turn.calls == ()
    assert body["messages"][1:] == [{"role": "assistant", "content": BLOCKS[1:2]}]


# Calls


@pytest.mark.parametrize(
    ("frames", "call"),
    [
        pytest.param(
            [tool_start("t", "now"), BLOCK_STOP], Call("t", "now", {}), id="no arguments at all"
        ),
        pytest.param(
            [block_start(type="tool_use", id="t", name="now")],
            Call("t", "now", {}),
            id="no input, and no end of the block",
        ),
        pytest.param(
            [block_start(type="tool_use", id="t", name="weather", input={"city": "Rome"})],
            Call("t", "weather", {"city": "Rome"}),
            id="arguments in the start",
        ),
        pytest.param(
            [tool_start("t", "weather"), arguments('{"city": "Ro'), BLOCK_STOP],
            Call(
                "t",
                "weather",
                {},
                "The arguments are not valid JSON. Call the tool again with one JSON object.",
            ),
            id="not JSON",
        ),
        pytest.param([tool_start("", "now")], Call("call00000", "now", {}), id="no id"),
        pytest.param(
            [tool_start("t:1/ü", "now")], Call("call00000", "now", {}), id="an id of no use"
        ),
        pytest.param(
            [tool_start("t", "my tool.now")], Call("t", "my_tool_now", {}), id="a name of no use"
        ),
    ],
)
async def test_calls_are_taken_as_they_come(
    server: ModelServer, connect: Connect, frames: list[bytes], call: Call
) -> None:
    turn = await turn_of(server, connect, *frames, *USED)

    assert turn.calls == (call,)
    (block,) = turn.content["anthropic"]
    assert (block["id"], block["name"], block["input"]) == (call.id, call.name, call.arguments)


async def test_calls_count_though_the_reason_is_another(
    server: ModelServer, connect: Connect
) -> None:
    turn = await turn_of(
        server, connect, *TURN[:-2], message_delta("end_turn", output_tokens=7), MESSAGE_STOP
    )

    assert turn.calls == CALLS


async def test_a_call_cut_by_the_longest_length_is_dropped_though_the_reason_is_another(
    server: ModelServer, connect: Connect
) -> None:
    end = await end_of(
        server,
        connect,
        tool_start("t", "weather"),
        arguments('{"city": '),
        BLOCK_STOP,
        message_delta("tool_use", output_tokens=100),
        MESSAGE_STOP,
    )

    assert end == Done("length", 11, 100)


async def test_calls_that_do_not_come_may_come_when_asked_again(
    server: ModelServer, connect: Connect
) -> None:
    server.answer = lambda _: Reply([START, *TURN[:8], *USED])

    events, code = await asked(connect(), WITH_TOOLS)

    assert events == [Thinking("Hm. "), Answer("I look "), Answer("it up.")]
    assert code == "provider_garbled"


def test_a_result_is_text_for_the_model_and_never_blank() -> None:
    results: tuple[Any, ...] = ("grün", "", " ", None, {"a": "ü"}, [], 0)

    shown = [Result("1", each).text for each in results]

    assert shown == ["grün", '""', '" "', "null", '{"a": "ü"}', "[]", "0"]
    assert Result("1", error="no clock").text == "Error: no clock"
