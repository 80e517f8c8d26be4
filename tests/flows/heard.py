"""Helpers of tests for the events that a reader has received."""

from collections.abc import Sequence

from tests.event_source import TERMINAL, Event


def text(events: Sequence[Event], name: str = "answer") -> str:
    """The text of all events of one name together."""
    return "".join(event.data["text"] for event in events if event.name == name)


def assert_each_once(events: Sequence[Event]) -> None:
    """Ids are 0, 1, 2 … each exactly once, of one stream, and end with a terminal event."""
    assert [event.seq for event in events] == list(range(len(events)))
    assert len({event.id.partition(":")[0] for event in events}) == 1
    assert events[-1].name in TERMINAL
