"""What events add up to. tests/app/test_client.py has the browser client fold the same cases."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.events import EVENTS, Answer, ToolCall
from app.folding import fold
from durable_stream import Event, Registry, Text

CASES = json.loads(Path(__file__).with_name("folding.json").read_text())


class Search(Event):
    """An event of a cloner's own."""

    kind = "search"
    query: str


class Aside(Text):
    """A text of a cloner's own."""

    kind = "aside"


KINDS = Registry((*EVENTS, Search, Aside)).kinds
# Members of these that a reader is not told, and members that only a reader is told.
UNTOLD = {"start": {"input": ""}, "step": {"call": ""}, "step_end": {"value": "1"}}
ONLY_TOLD = {"failed", "usage"}


def logged(kind: str, told: dict[str, Any]) -> Event:
    """The event in the log of which a reader is told this."""
    members = {name: member for name, member in told.items() if name not in ONLY_TOLD}
    step = members.pop("step", "")
    return KINDS[kind](**members, **UNTOLD.get(kind, {}), within=step)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["rule"])
def test_events_add_up(case: dict[str, Any]) -> None:
    assert fold([logged(*event) for event in case["events"]]) == case["parts"]


def test_text_with_members_of_its_own_goes_on_where_they_are_equal() -> None:
    class Voice(Text):
        kind = "voice"
        who: str

    said = [Voice("a", "me"), Voice("b", "me"), Voice("c", "you")]
    assert fold(said) == [
        {"kind": "voice", "text": "ab", "who": "me"},
        {"kind": "voice", "text": "c", "who": "you"},
    ]


def test_events_are_left_as_they_are() -> None:
    events = (Answer("a"), Answer("b"), ToolCall("1", "look", {"at": "it"}))
    assert fold(events) == fold(events)
    assert events[0] == Answer("a")
