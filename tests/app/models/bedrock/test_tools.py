"""Tools on ConverseStream: its requests, and its blocks, which go back as they came."""

from dataclasses import replace
from typing import Any

import pytest

from app.events import Answer, Done, Thinking
from app.models.base import Message, Partial, Request
from app.models.bedrock import BedrockProvider
from app.models.turns import Call, Result, Round, ToolUse
from tests.app.models.bedrock.asking import REQUEST, asked
from tests.app.models.bedrock.frames import (
    BLOCK_END,
    BLOCKS,
    START,
    TURN,
    arguments,
    block_end,
    event,
    reasoning,
    stop,
    text,
    tool_start,
    usage,
)
from tests.app.models.bedrock.server import Server, saying
from tests.app.models.services import CALLS, RESULTS, TOOLS

pytestmark = pytest.mark.anyio

CLAUDE_4_5 = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
WITH_TOOLS = replace(REQUEST, tools=TOOLS)
CONFIG = {
    "tools": [
        {
            "toolSpec": {
                "name": each.name,
                "description": each.description,
                "inputSchema": {"json": each.parameters},
            }
        }
        for each in TOOLS
    ]
}
END = [stop("tool_use"), usage()]


async def turn_of(server: Server, provider: BedrockProvider, *frames: bytes) -> ToolUse:
    server.answer = saying(START, *frames)
    events, code = await asked(provider, WITH_TOOLS)
    assert code is None
    assert isinstance(events[-1], ToolUse)
    return events[-1]


async def body_with(
    server: Server, provider: BedrockProvider, request: Request, said: str = ""
) -> dict[str, Any]:
    server.answer = saying(START, text("x"), stop(), usage())
    _, code = await asked(provider, request, Partial(answer=said))
    assert code is None
    return dict(server.talks[-1].body)


def with_round(turn: ToolUse, **members: Any) -> Request:
    round_ = Round(calls=turn.calls, results=RESULTS, content=turn.content, **members)
    return replace(WITH_TOOLS, rounds=(round_,))


# Requests


async def test_tools_and_rounds_are_sent_as_blocks(
    server: Server, provider: BedrockProvider
) -> None:
    turn = await turn_of(server, provider, *TURN)

    body = await body_with(server, provider, with_round(turn))

    assert body["toolConfig"] == CONFIG
    assert body["messages"] == [
        {"role": "user", "content": [{"text": "Say hello"}]},
        {"role": "assistant", "content": BLOCKS},
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "toolu_1", "content": [{"text": '{"sky": "grün"}'}]}},
                {
                    "toolResult": {
                        "toolUseId": "toolu_2",
                        "content": [{"text": "Error: no clock"}],
                        "status": "error",
                    }
                },
            ],
        },
    ]


async def test_a_conversation_with_calls_names_tools_though_none_are_offered(
    server: Server, provider: BedrockProvider
) -> None:
    turn = await turn_of(server, provider, *TURN)

    body = await body_with(server, provider, replace(with_round(turn), tools=()))

    tools = [each["toolSpec"] for each in body["toolConfig"]["tools"]]
    assert [each["name"] for each in tools] == ["weather", "now"]
    assert tools[0]["inputSchema"] == {"json": {"type": "object"}}


async def test_the_last_request_says_with_the_result_that_it_allows_no_calls(
    server: Server, provider: BedrockProvider
) -> None:
    """There is no choice of tools that is none."""
    turn = await turn_of(server, provider, *TURN)

    body = await body_with(server, provider, replace(with_round(turn), answer_now=True))

    assert body["toolConfig"] == CONFIG
    (first, last) = (each["toolResult"]["content"] for each in body["messages"][-1]["content"])
    assert len(first) == 1
    assert "No more tools can be called" in last[1]["text"]


async def test_roles_alternate_behind_rounds(server: Server, provider: BedrockProvider) -> None:
    turn = await turn_of(server, provider, *TURN)
    rounds = with_round(turn).rounds

    body = await body_with(server, provider, replace(WITH_TOOLS, rounds=rounds * 2), said="And so")

    roles = [each["role"] for each in body["messages"]]
    assert roles == ["user", "assistant"] * 3 + ["user"]


async def test_behind_a_round_claude_up_to_4_5_is_given_its_answer_so_far(
    server: Server, provider: BedrockProvider
) -> None:
    turn = await turn_of(server, provider, *TURN)
    request = replace(with_round(turn), model=CLAUDE_4_5)

    body = await body_with(server, provider, request, said="half an \n")

    assert body["messages"][-1] == {"role": "assistant", "content": [{"text": "half an"}]}


@pytest.mark.parametrize("frames", [TURN[3:], TURN[6:]], ids=["text", "no text"])
async def test_a_turn_that_continued_a_prefill_goes_back_with_it_in_one_text(
    server: Server, provider: BedrockProvider, frames: tuple[bytes, ...]
) -> None:
    turn = await turn_of(server, provider, *frames)
    rest = "I look it up." if frames == TURN[3:] else ""

    body = await body_with(server, provider, with_round(turn, before="Well, \n", prefilled=True))

    content = body["messages"][1]["content"]
    assert content == [{"text": f"Well,{rest}"}, *BLOCKS[2:]]


async def test_ids_and_names_of_another_service_are_made_to_fit(
    server: Server, provider: BedrockProvider
) -> None:
    """Bedrock checks them, and so does its client."""
    odd = "ü/" * 50
    round_ = Round(
        text=" ", calls=(Call(odd, odd, {}),), results=(Result(odd, 1),), content={"x": 1}
    )
    request = replace(WITH_TOOLS, messages=(Message("user", "hi"),), rounds=(round_,))

    body = await body_with(server, provider, request)

    assert body["messages"][1]["content"] == [
        {"toolUse": {"toolUseId": "_" * 64, "name": "_" * 64, "input": {}}}
    ]
    assert body["messages"][2]["content"][0]["toolResult"]["toolUseId"] == "_" * 64


# Blocks


async def test_reasoning_goes_back_byte_for_byte_also_where_it_is_hidden(
    server: Server, provider: BedrockProvider
) -> None:
    """Unsigned reasoning is refused, so it is left out."""
    turn = await turn_of(
        server,
        provider,
        reasoning(signature="aGlk"),
        reasoning(signature="ZGVu"),
        BLOCK_END,
        reasoning(1, redactedContent="AAEC/w=="),
        block_end(1),
        reasoning(2, text="Unsigned."),
        block_end(2),
        *TURN[6:],
    )

    body = await body_with(server, provider, with_round(turn))

    assert body["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "", "signature": "aGlkZGVu"}}},
        {"reasoningContent": {"redactedContent": "AAEC/w=="}},
        *BLOCKS[2:],
    ]


async def test_blank_text_and_what_is_new_do_not_go_back(
    server: Server, provider: BedrockProvider
) -> None:
    turn = await turn_of(
        server,
        provider,
        text("\n"),
        BLOCK_END,
        event("contentBlockStart", {"contentBlockIndex": 1, "start": {"somethingNew": {}}}),
        event("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"citation": {}}}),
        *TURN[6:],
    )

    body = await body_with(server, provider, with_round(turn))

    assert body["messages"][1]["content"] == BLOCKS[2:]


# Calls


async def test_blocks_that_all_have_one_number_are_told_apart(
    server: Server, provider: BedrockProvider
) -> None:
    turn = await turn_of(
        server,
        provider,
        reasoning(text="Hm."),
        text("I look."),
        tool_start("a", "weather"),
        arguments('{"city": "Rome"}'),
        tool_start("b", "now"),
        *END,
    )

    assert turn.calls == (Call("a", "weather", {"city": "Rome"}), Call("b", "now", {}))


@pytest.mark.parametrize(
    ("frames", "call"),
    [
        (
            [tool_start("t", "weather"), arguments('{"city": "Ro'), BLOCK_END],
            Call(
                "t",
                "weather",
                {},
                "The arguments are not valid JSON. Call the tool again with one JSON object.",
            ),
        ),
        ([tool_start("t t", "now")], Call("call00000", "now", {})),
        ([tool_start("t", "my tool")], Call("t", "my_tool", {})),
    ],
    ids=["not JSON", "an id of no use", "a name of no use"],
)
async def test_calls_are_taken_as_they_come(
    server: Server, provider: BedrockProvider, frames: list[bytes], call: Call
) -> None:
    turn = await turn_of(server, provider, *frames, *END)

    assert turn.calls == (call,)


async def test_calls_count_though_the_reason_is_another(
    server: Server, provider: BedrockProvider
) -> None:
    turn = await turn_of(server, provider, *TURN[:-2], stop("end_turn"), usage())

    assert turn.calls == CALLS


async def test_a_call_cut_by_the_longest_length_is_dropped_though_the_reason_is_another(
    server: Server, provider: BedrockProvider
) -> None:
    server.answer = saying(
        START, tool_start("t", "weather"), arguments('{"ci'), stop("tool_use"), usage(11, 77)
    )

    assert await asked(provider, WITH_TOOLS) == ([Done("length", 11, 77)], None)


@pytest.mark.parametrize("reason", ["tool_use", "malformed_tool_use"])
async def test_calls_that_do_not_come_may_come_when_asked_again(
    server: Server, provider: BedrockProvider, reason: str
) -> None:
    server.answer = saying(START, *TURN[:6], stop(reason), usage())

    events, code = await asked(provider, WITH_TOOLS)

    assert events == [Thinking("Hm. "), Answer("I look "), Answer("it up.")]
    assert code == "provider_garbled"
