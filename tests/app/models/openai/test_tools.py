"""Tools on the wire of chat completions, with everything that its servers do differently."""

import json
from dataclasses import replace
from typing import Any

import pytest

from app.events import Answer, Done
from app.models.base import Partial, Request
from app.models.turns import Call, Round, ToolUse
from tests.app.models.http.model_server import End, ModelServer, Reply
from tests.app.models.openai.wire import DONE, MESSAGE, TURN, USAGE, WIRE, call, calls, chunk
from tests.app.models.services import CALLS, RESULTS, TOOLS
from tests.app.models.wires import PROMPT, REQUEST, Connect, Wire, asked

pytestmark = pytest.mark.anyio

WITH_TOOLS = replace(REQUEST, tools=TOOLS)
PARIS = {"city": "Paris"}
ROME = {"city": "Rome"}
TOOL_CALLS = chunk({}, "tool_calls")
NOT_JSON = "The arguments are not valid JSON. Call the tool again with one JSON object."
NO_OBJECT = "The arguments are not a JSON object. Call the tool again with one."


@pytest.fixture
def wire() -> Wire:
    return WIRE


async def turn_of(server: ModelServer, connect: Connect, *frames: bytes) -> ToolUse:
    server.answer = lambda _: Reply(frames)
    events, code = await asked(connect(), WITH_TOOLS)
    assert code is None
    assert isinstance(events[-1], ToolUse)
    return events[-1]


async def body_with(
    server: ModelServer, connect: Connect, request: Request, said: str = "", **environ: str
) -> dict[str, Any]:
    server.answer = lambda _: Reply([chunk({"content": "x"}), chunk({}, "stop"), DONE])
    await asked(connect(**environ), request, Partial(answer=said))
    return server.asked[-1].body


# Requests


async def test_tools_and_rounds_are_sent_as_messages(server: ModelServer, connect: Connect) -> None:
    turn = await turn_of(server, connect, *TURN)
    round_ = Round(calls=turn.calls, results=RESULTS, content=turn.content)

    body = await body_with(server, connect, replace(WITH_TOOLS, rounds=(round_,)))

    assert body["tools"][0] == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather.",
            "parameters": TOOLS[0].parameters,
        },
    }
    assert "tool_choice" not in body
    assert body["messages"] == [
        {"role": "user", "content": PROMPT},
        MESSAGE,
        {"role": "tool", "tool_call_id": "toolu_1", "content": '{"sky": "grün"}'},
        {"role": "tool", "tool_call_id": "toolu_2", "content": "Error: no clock"},
    ]


async def test_the_last_request_allows_no_calls(server: ModelServer, connect: Connect) -> None:
    body = await body_with(server, connect, replace(WITH_TOOLS, answer_now=True))

    assert body["tool_choice"] == "none"
    assert len(body["tools"]) == 2


async def test_behind_a_round_with_prefill_the_answer_so_far_is_the_turn_begun(
    server: ModelServer, connect: Connect
) -> None:
    turn = await turn_of(server, connect, *TURN)
    round_ = Round(calls=turn.calls, results=RESULTS, content=turn.content)
    request = replace(WITH_TOOLS, rounds=(round_,))

    body = await body_with(server, connect, request, said="half an \n", OPENAI_PREFILL="true")

    assert body["messages"][-1] == {"role": "assistant", "content": "half an"}
    assert body["continue_final_message"] is True


async def test_behind_a_round_nothing_said_is_no_prefill(
    server: ModelServer, connect: Connect
) -> None:
    turn = await turn_of(server, connect, *TURN)
    round_ = Round(calls=turn.calls, results=RESULTS, content=turn.content)
    request = replace(WITH_TOOLS, rounds=(round_,))

    body = await body_with(server, connect, request, OPENAI_PREFILL="true")

    assert body["messages"][-1]["role"] == "tool"
    assert "continue_final_message" not in body


@pytest.mark.parametrize("frames", [TURN, TURN[4:]], ids=["text", "no text"])
async def test_a_turn_that_continued_a_prefill_goes_back_with_it(
    server: ModelServer, connect: Connect, frames: list[bytes]
) -> None:
    turn = await turn_of(server, connect, *frames)
    round_ = Round(
        calls=turn.calls, results=RESULTS, content=turn.content, before="Well, \n", prefilled=True
    )

    body = await body_with(server, connect, replace(WITH_TOOLS, rounds=(round_,)))

    rest = "I look it up." if len(frames) == len(TURN) else ""
    assert body["messages"][1]["content"] == f"Well,{rest}"


# Reasoning


@pytest.mark.parametrize(
    ("deltas", "sent_back"),
    [
        ([{"reasoning_content": "Hm. "}], {"reasoning_content": "Hm. "}),
        ([{"reasoning": "H"}, {"reasoning": "m."}], {"reasoning": "Hm."}),
        ([{"reasoning_content": ""}], {"reasoning_content": ""}),
        ([{"reasoning_content": None, "content": "x"}], {"reasoning_content": ""}),
        ([{"content": "x"}], {}),
    ],
)
async def test_reasoning_goes_back_in_the_member_that_it_came_in_even_if_it_is_empty(
    server: ModelServer, connect: Connect, deltas: list[Any], sent_back: dict[str, str]
) -> None:
    """DeepSeek refuses a turn with calls that lacks it."""
    turn = await turn_of(server, connect, *map(chunk, deltas), *TURN[4:])

    message = turn.content["openai"]
    assert {name: message[name] for name in message if "reasoning" in name} == sent_back


async def test_the_signature_of_googles_thoughts_goes_back_with_its_call(
    server: ModelServer, connect: Connect
) -> None:
    signed = {"google": {"thought_signature": "c2ln"}}
    turn = await turn_of(
        server,
        connect,
        calls(call(0, id="a", name="now", arguments="{}", extra_content=signed)),
        TOOL_CALLS,
    )

    (sent,) = turn.content["openai"]["tool_calls"]
    assert sent["extra_content"] == signed


# Calls, as servers number, name and cut them

SERVERS = [
    pytest.param(
        [
            calls(call(0, id="a", name="weather", arguments="")),
            calls(call(1, id="b", name="weather", arguments="")),
            calls(call(0, arguments='{"city": ')),
            calls(call(1, arguments='{"city": "Rome"}')),
            calls(call(0, arguments='"Paris"}')),
            TOOL_CALLS,
        ],
        [("a", PARIS), ("b", ROME)],
        id="pieces of two calls in turns",
    ),
    pytest.param(
        [
            calls(call(0, id="a", name="weather", arguments=json.dumps(PARIS))),
            calls(call(0, id="b", name="weather", arguments=json.dumps(ROME))),
            chunk({}, "stop"),
        ],
        [("a", PARIS), ("b", ROME)],
        id="every call is number 0, and the reason is stop (Ollama)",
    ),
    pytest.param(
        [
            calls(
                call(0, id="a", name="weather", arguments=PARIS),
                call(0, id="b", name="weather", arguments=ROME),
            ),
            chunk({}, "stop"),
        ],
        [("a", PARIS), ("b", ROME)],
        id="arguments are an object (LiteLLM)",
    ),
    pytest.param(
        [
            calls(call(None, id="a", name="weather", arguments=json.dumps(PARIS))),
            calls(call(None, id="b", name="weather", arguments=json.dumps(ROME))),
            chunk({}, "stop"),
        ],
        [("a", PARIS), ("b", ROME)],
        id="no numbers (Ollama up to 0.4.6)",
    ),
    pytest.param(
        [
            calls(call(None, id="a", name="weather", arguments='{"city": ')),
            calls(call(None, arguments='"Paris"}')),
            calls(call(None, id="b", name="weather")),
            calls(call(None, arguments='{"city": "Rome"}')),
            TOOL_CALLS,
        ],
        [("a", PARIS), ("b", ROME)],
        id="no numbers, in pieces",
    ),
    pytest.param(
        [
            calls(call(0, id="0", name="weather", arguments='{"city":')),
            calls(call(0, id="0", arguments='"Paris"}')),
            calls(call(0, id="1", name="weather", arguments='{"city":')),
            calls(call(0, id="1", arguments='"Rome"}')),
            TOOL_CALLS,
        ],
        [("0", PARIS), ("1", ROME)],
        id="number 0, and the id in every piece (sglang)",
    ),
    pytest.param(
        [
            calls(call(0, id="0", name="weather", arguments="")),
            calls(call(0, id="1", name="weather", arguments="")),
            calls(call(0, id="0", arguments='{"city":"Paris"}')),
            calls(call(0, id="1", arguments='{"city":"Rome"}')),
            TOOL_CALLS,
        ],
        [("0", PARIS), ("1", ROME)],
        id="only the id tells pieces apart",
    ),
    pytest.param(
        [
            calls(call(0, name="weather", arguments='{"city": "Paris"}')),
            calls(call(0, name="weather", arguments='{"city": "Rome"}')),
            TOOL_CALLS,
        ],
        [("call00000", PARIS), ("call00001", ROME)],
        id="no ids (vLLM)",
    ),
    pytest.param(
        [
            calls(call(0, name="now", arguments="")),
            calls(call(0, name="weather", arguments='{"city": "Rome"}')),
            TOOL_CALLS,
        ],
        [("call00000", {}), ("call00001", ROME)],
        id="no ids, and a call without arguments",
    ),
    pytest.param(
        [
            calls(call(0, id="a", name="weather", arguments='{"city"')),
            calls(call(0, id="", name="", arguments=': "Pa')),
            calls(call(0, id=None, name=None, arguments='ris"}')),
            calls({"index": 0}),
            TOOL_CALLS,
        ],
        [("a", PARIS)],
        id="empty id and name in later pieces (vLLM)",
    ),
    pytest.param(
        [
            calls(
                call(0, id="a", name="weather", arguments='{"city": "Paris"}'),
                finish_reason="tool_calls",
            )
        ],
        [("a", PARIS)],
        id="arguments and reason in one chunk (vLLM)",
    ),
    pytest.param(
        [
            calls({"index": 0, "function": {"id": "a", "name": "weather", "arguments": ""}}),
            calls({"index": 0, "function": {"id": "a", "name": "weather", "arguments": '{"ci'}}),
            calls(
                {
                    "index": 0,
                    "function": {"id": "a", "name": "weather", "arguments": 'ty":"Paris"}'},
                }
            ),
            calls({"index": 0, "function": {"id": "a", "name": "weather", "arguments": ""}}),
            TOOL_CALLS,
        ],
        [("a", PARIS)],
        id="id within the function, and name repeated (llama.cpp)",
    ),
    pytest.param(
        [
            calls(call(0, id="a", name="weather", arguments="")),
            calls(call(0, id="b", arguments='{"city":')),
            calls(call(0, id="c", arguments='"Paris"}')),
            TOOL_CALLS,
        ],
        [("a", PARIS)],
        id="a new id in every piece (OCI)",
    ),
    pytest.param(
        [
            calls(call(0, id="a", name="wea")),
            calls(call(0, name="ther", arguments=json.dumps(PARIS))),
            TOOL_CALLS,
        ],
        [("a", PARIS)],
        id="the name in pieces",
    ),
    pytest.param(
        [
            calls(call(0, id="same", name="weather", arguments=json.dumps(PARIS))),
            calls(call(1, id="same", name="weather", arguments='{"city":')),
            calls(call(1, arguments='"Rome"}')),
            TOOL_CALLS,
        ],
        [("same", PARIS), ("call00001", ROME)],
        id="one id twice",
    ),
    pytest.param(
        [
            calls(call(0, id="same", name="weather", arguments=json.dumps(PARIS))),
            calls(call(0, id="same", name="weather", arguments=json.dumps(ROME))),
            TOOL_CALLS,
        ],
        [("same", PARIS), ("call00001", ROME)],
        id="one id and one number twice",
    ),
    pytest.param(
        [
            calls(call(0, id="a", name="weather", arguments=json.dumps(json.dumps(PARIS)))),
            TOOL_CALLS,
        ],
        [("a", PARIS)],
        id="an object that was encoded twice",
    ),
    pytest.param(
        [calls(call(0, id="a", name="weather", arguments="null")), TOOL_CALLS],
        [("a", {})],
        id="null",
    ),
    pytest.param(
        [calls(call(0, id="functions.weather:0", name="weather", arguments="{}")), TOOL_CALLS],
        [("functions.weather:0", {})],
        id="an id that its model wants back (Kimi)",
    ),
    pytest.param(
        [TOOL_CALLS, calls(call(0, id="a", name="weather", arguments=json.dumps(PARIS))), DONE],
        [("a", PARIS)],
        id="behind the reason",
    ),
]


@pytest.mark.parametrize(("frames", "expected"), SERVERS)
async def test_calls_are_taken_as_servers_send_them(
    server: ModelServer, connect: Connect, frames: list[bytes], expected: list[tuple[str, Any]]
) -> None:
    turn = await turn_of(server, connect, *frames, USAGE, DONE)

    assert [(each.id, each.arguments) for each in turn.calls] == expected
    assert not any(each.error for each in turn.calls)
    sent = turn.content["openai"]["tool_calls"]
    assert [(each["id"], json.loads(each["function"]["arguments"])) for each in sent] == expected


@pytest.mark.parametrize(("frames", "expected"), SERVERS)
async def test_a_turn_of_any_server_that_is_cut_is_whole_or_cut(
    server: ModelServer, connect: Connect, frames: list[bytes], expected: list[tuple[str, Any]]
) -> None:
    """By an orderly close, which looks like an end."""
    whole = [*frames, USAGE, DONE]
    finish = next(i for i, each in enumerate(whole) if b'"finish_reason": "' in each)
    server.answer = lambda count: Reply(whole[:count], End.CLOSED)
    provider = connect()
    for count in range(len(whole)):
        events, code = await asked(provider, WITH_TOOLS)

        if count <= finish:
            assert (events, code) == ([], "provider_cut")
        elif b"tool_calls" in b"".join(whole[finish + 1 :]):
            pass  # Calls behind the reason are a server's fault that nobody can see.
        else:
            assert code is None
            assert isinstance(events[-1], ToolUse)
            assert [(each.id, each.arguments) for each in events[-1].calls] == expected


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ('{"city": "Par', NOT_JSON),
        ('{"city": NaN}', NOT_JSON),
        ("Paris", NOT_JSON),
        ('"Paris"', NOT_JSON),
        ("[1]", NO_OBJECT),
        ("[" * 100_000, NOT_JSON),
    ],
)
async def test_arguments_that_cannot_be_read_are_an_error_for_the_model_and_never_sent_back(
    server: ModelServer, connect: Connect, arguments: str, error: str
) -> None:
    """LiteLLM fails one turn later."""
    turn = await turn_of(
        server, connect, calls(call(0, id="a", name="weather", arguments=arguments)), TOOL_CALLS
    )

    assert turn.calls == (Call("a", "weather", {}, error),)
    assert turn.content["openai"]["tool_calls"][0]["function"]["arguments"] == "{}"


@pytest.mark.parametrize("arguments", ['{"city": "Par', ""])
@pytest.mark.parametrize("reason", ["tool_calls", "stop", "length"])
async def test_a_call_cut_by_the_longest_length_is_dropped_whatever_the_reason(
    server: ModelServer, connect: Connect, arguments: str, reason: str
) -> None:
    """VLLM calls such an end `tool_calls`."""
    piece = calls(call(0, id="a", name="weather", arguments=arguments))
    usage = {"prompt_tokens": 11, "completion_tokens": 100}
    server.answer = lambda _: Reply([TURN[2], piece, chunk({}, reason, usage=usage), DONE])

    events, code = await asked(connect(), WITH_TOOLS)

    assert (events, code) == ([Answer("I look "), Done("length", 11, 100)], None)


async def test_a_whole_call_at_the_longest_length_is_a_call(
    server: ModelServer, connect: Connect
) -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 100}

    turn = await turn_of(server, connect, *TURN[:-3], chunk({}, "tool_calls", usage=usage), DONE)

    assert turn.calls == CALLS


@pytest.mark.parametrize(
    "frames",
    [
        [TURN[2], TOOL_CALLS],
        [TURN[2], calls(call(0, id="a", arguments="{}")), TOOL_CALLS],
        [TURN[2], chunk({"tool_calls": "none"})],
    ],
    ids=["no call", "no name", "no list"],
)
async def test_calls_that_make_no_sense_may_make_some_when_asked_again(
    server: ModelServer, connect: Connect, frames: list[bytes]
) -> None:
    server.answer = lambda _: Reply([*frames, DONE])

    assert await asked(connect(), WITH_TOOLS) == ([Answer("I look ")], "provider_garbled")
