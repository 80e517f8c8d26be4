"""The rendering of AG-UI: a client ends with the parts of the log, wherever it was cut off."""

import json
import time
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from app.events import (
    Answer,
    Data,
    Done,
    Progress,
    Source,
    Thinking,
    ToolCall,
    ToolResult,
)
from app.folding import fold
from app.wires.ag_ui import protocol
from app.wires.ag_ui.rendering import AgUiRendering, Run
from durable_stream import Cancelled, Claim, Failed, Handoff, Heartbeat, Record, Reset
from durable_stream.text import mended
from tests.wires.ag_ui.parts import expected, flat, shown
from tests.wires.ag_ui.reference import Client
from tests.wires.logs import STREAM_ID, Aside, Note, events, logs, of_events

Json = dict[str, Any]
ASKED: list[Json] = [
    {"id": "u1", "role": "user", "content": "Where is it warm?"},
    {"id": "r1", "role": "reasoning", "content": "South."},
    {"id": "a1", "role": "assistant", "content": "In Seville."},
    {"id": "u2", "role": "user", "content": "And when?"},
]
EARLIER: Json = {"id": "p1", "role": "activity", "activityType": "source", "content": {}}
EVERYTHING = of_events(
    Thinking("Hm"),
    Answer("Let me \ud83d"),
    Answer("\ude00 see."),
    ToolCall("1", "search", {"q": "é"}),
    ToolCall("1", "search", {"q": "b"}),
    Progress("Reading", 1, 2),
    Aside("By "),
    Aside("the way"),
    Answer("It is"),
    Progress("Reading", 2, 2),
    ToolResult("1", ["warm"], within="plan:0"),
    Answer(" warm."),
    ToolResult("1", error="No."),
    ToolResult("1", "nobody's"),
    Data("weather", {"a": 1}, within="plan:0"),
    Source("One", "https://one.example/", within="plan:0"),
    Thinking("So", within="plan:0"),
    Claim(2, "continued"),
    Reset(within="plan:0"),
    ToolResult("1", "cold"),
    Note("A note", within="plan:0"),
    Claim(3, "restarted"),
    Reset(),
    Thinking("Again"),
    Answer("Never mind."),
    Done("stop", 1, 2),
)

# With reasoning and without: a snapshot without any keeps the client's.
histories = st.sampled_from([ASKED, ASKED[-1:], []])


def started(asked: list[Json]) -> Client:
    """A client that has sent these messages; it also shows an activity, which it never sends."""
    return Client([*asked, EARLIER])


def rendering(client: Client) -> AgUiRendering:
    asked = [each for each in client.posted() if not each["id"].startswith(STREAM_ID)]
    return AgUiRendering(Run("thread", "run", asked))


def undisturbed(asked: list[Json], log: list[Record]) -> Client:
    client = started(asked)
    whole = rendering(client)
    return client.play(event for record in log for event in whole.render(record))


def state(client: Client) -> Any:
    """All that the client shows, halves of surrogate pairs joined as JavaScript joins them."""
    shown = [client.messages, client.state, flat(client.customs), client.end]
    return json.loads(mended(json.dumps(shown, ensure_ascii=False)))


@example(ASKED, EVERYTHING)
@given(histories, logs())
def test_an_undisturbed_client_ends_with_the_parts_of_the_log(
    asked: list[Json], log: list[Record]
) -> None:
    client = undisturbed(asked, log)
    parts = fold(events(log))

    assert client.messages[: len(asked) + 1] == [*asked, EARLIER]
    own = client.messages[len(asked) + 1 :]
    assert shown(own, client.state, client.customs) == expected(parts)
    assert (client.end is not None) == log[-1].terminal


@given(st.data(), histories, logs())
def test_a_client_that_is_cut_off_anywhere_and_comes_back_ends_as_if_nothing_had_happened(
    data: st.DataObject, asked: list[Json], log: list[Record]
) -> None:
    whole = undisturbed(asked, log)

    client, known, first = started(asked), 0, True
    for more in data.draw(st.lists(st.integers(0, 12), max_size=4)):
        until = min(known + more, len(log))
        sent = answer(client, log, known, until, first=first)
        client.play(sent[: data.draw(st.integers(0, len(sent)))])
        client, known, first = client.connect(), until, False
    client.play(answer(client, log, known, len(log), first=first))

    assert state(client) == state(whole)


def test_a_client_may_be_cut_off_behind_every_event_and_come_back_at_every_record() -> None:
    for until in range(1, len(EVERYTHING) + 1):
        log = EVERYTHING[:until]
        whole = state(undisturbed(ASKED, log))
        for seen in range(1, until):
            first = answer(started(ASKED), log, 0, seen, first=True)
            client = started(ASKED).play(first).connect()
            client.play(answer(client, log, seen + (until - seen) // 2, until, first=False))
            assert state(client) == whole


def answer(client: Client, log: list[Record], known: int, until: int, *, first: bool) -> list[Json]:
    """The events of a response; one that continues begins with all that is in the log by then."""
    own = rendering(client)
    if first:
        return [event for record in log[:until] for event in own.render(record)]
    for record in log[:known]:
        own.render(record)
    begun = protocol.run_started("thread", "run", STREAM_ID)
    again = [begun, *own.again()] if known else []
    return [*again, *(event for record in log[known:until] for event in own.render(record))]


def test_what_says_nothing_makes_no_event() -> None:
    own = AgUiRendering()
    silent = of_events(Claim(2), Heartbeat(), Handoff())[1:]

    assert [event for record in silent for event in own.render(record)] == []


def test_a_message_is_closed_before_the_next_part_and_open_while_an_earlier_one_changes() -> None:
    own = AgUiRendering()
    log = of_events(Progress("P", 1), Answer("a"), Progress("P", 2), Answer("b"), Data("d", 1))

    types = [event["type"] for record in log for event in own.render(record)]

    assert types[2:] == [
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "ACTIVITY_SNAPSHOT",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "STATE_DELTA",
    ]


def test_ids_tell_the_stream_and_no_id_comes_twice() -> None:
    log = of_events(Answer("a"), Claim(2), Reset(), Answer("b"), Source("s", "u"), Answer("c"))

    client = undisturbed([], log)

    assert [each["id"] for each in client.messages[1:]] == [f"{STREAM_ID}-{n}" for n in (2, 3, 4)]


def ends(*log: Any, run: Run = Run("t", "r")) -> Json:  # noqa: B008 - frozen
    own = AgUiRendering(run)
    return [event for record in of_events(*log) for event in own.render(record)][-1]


def test_how_a_run_ended_is_told() -> None:
    run = {"type": "RUN_FINISHED", "threadId": "t", "runId": "r"}
    usage = [{"model": "some-model", "inputTokens": 3, "outputTokens": 0}]
    assert ends(Answer("a"), Done("length", 3, 0)) == run | {
        "outcome": {"type": "success"},
        "result": {"finish_reason": "length"},
        "usage": usage,
    }
    assert "usage" not in ends(Done("stop"))
    assert ends(Answer("a"), Cancelled()) == run | {"outcome": {"type": "cancelled"}}
    before_1_0 = Run("t", "r", version=None)
    assert ends(Answer("a"), Cancelled(), run=before_1_0) == run | {
        "outcome": {"type": "success"},
        "result": {"finish_reason": "cancelled"},
    }
    assert ends(Answer("a"), Failed("broken", "Send it again.", retryable=True)) == {
        "type": "RUN_ERROR",
        "code": "broken",
        "message": "Send it again.",
    }


def test_a_member_that_would_change_a_prototype_is_left_out_of_the_state() -> None:
    log = of_events(Data("__proto__", 1), Data("a/b~c", 2))

    assert undisturbed([], log).state == {"a/b~c": 2}


def test_thousands_of_parts_take_no_longer_each_than_a_few() -> None:
    count = 5_000
    log = of_events(
        *(Progress(f"{i}", i) for i in range(count)),
        *(ToolCall(f"{i}", "look", {}) for i in range(count)),
        *(ToolResult(f"{i}", i) for i in range(count)),
        *(Progress(f"{i}", i) for i in range(count)),
    )
    own = AgUiRendering()

    began = time.process_time()
    for record in log:
        own.render(record)

    # A search of all parts for every record takes ten times as long.
    assert time.process_time() - began < 2


def test_numbers_that_json_does_not_have_are_strings_wherever_they_come() -> None:
    """A client gives up the whole stream for one event that is no JSON."""
    nan = float("nan")
    log = of_events(
        ToolCall("1", "look", {"at": nan}),
        ToolResult("1", [nan]),
        ToolResult("2", {"a": -float("inf")}),
        Progress("Reading", nan),
        Data("weather", {"degrees": nan}),
        Note("A note", nan),
        Data("place", 1),
        Done("stop"),
    )
    own = AgUiRendering()
    told = [event for record in log for event in own.render(record)]

    assert json.dumps([*told, *own.again()], allow_nan=False)
    client = undisturbed([], log)
    assert client.state == {"weather": '{"degrees":NaN}', "place": 1}
    assert client.customs == [("note", {"title": "A note", "value": "NaN"})]
    tools = [each["content"] for each in client.messages if each["role"] == "tool"]
    assert tools == ["[NaN]", '{"a":-Infinity}']
