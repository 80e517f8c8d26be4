"""The judges: what must hold for each run of an example, wherever its writers were killed."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from durable_stream.step_keys import idempotency_key
from tests.event_source import Event
from tests.examples.killing import Run
from tests.flows.heard import assert_each_once


def assert_told_once(run: Run) -> None:
    """All readers saw the same events, each once, and the server has the same answer."""
    for events in run.readers:
        assert_each_once(events)
        assert [_told(event) for event in events] == [_told(event) for event in run.events]
    assert run.events[-1].name == "done", run.events[-1].data
    assert run.snapshot["answer"] == fold(run.events).answer


def assert_like(run: Run, undisturbed: Run) -> None:
    """All readers saw each event once, and ended with what the undisturbed run says."""
    assert_told_once(run)
    assert fold(run.events) == fold(undisturbed.events)


def assert_steps_once(run: Run) -> None:
    """A step was at work once in an attempt at most, and in none behind the record of its end.

    The attempts that a dead process had begun are those before; the world has seen them as well.
    """
    stream_id = run.events[0].id.partition(":")[0]
    attempt = 1
    ended: dict[str, int] = {}
    for event in run.events:
        attempt = event.data["attempt"] if event.name == "claim" else attempt
        if event.name == "step_end":
            key = idempotency_key(stream_id, event.data["step"])
            assert key not in ended, f"{event.data['step']} was recorded twice"
            ended[key] = attempt
    attempts: defaultdict[str, list[int]] = defaultdict(list)
    for effect in run.effects:
        attempts[effect.key].append(effect.attempt)
    assert attempts.keys() == ended.keys()
    for key, of_key in attempts.items():
        assert len(set(of_key)) == len(of_key), f"{key} ran twice in one attempt: {of_key}"
        assert max(of_key) == ended[key], f"{key} ran behind its end: {of_key}, {ended[key]}"


@dataclass(order=True)
class Tool:
    """A call of a tool. Its id is left out, because it differs between runs."""

    name: str
    arguments: str
    output: str = ""
    error: str | None = None


@dataclass
class Fold:
    """The state of an answer, as a page folds it from the events. `reset` takes events back."""

    answer: str = ""
    thinking: str = ""
    tools: list[Tool] = field(default_factory=list)
    progress: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


def fold(events: Sequence[Event]) -> Fold:
    """The state at the end; tools in an order of their own, since they may end in any order."""
    state = Fold()
    tools: dict[str, Tool] = {}
    for event in _counting(events):
        data = {name: value for name, value in event.data.items() if name != "step"}
        match event.name:
            case "answer":
                state.answer += data["text"]
            case "thinking":
                state.thinking += data["text"]
            case "tool_call":
                assert data["id"] not in tools, "the ids of calls are unique"
                tools[data["id"]] = Tool(data["name"], json.dumps(data["arguments"]))
            case "tool_result":
                assert not tools[data["id"]].output
                tools[data["id"]].output = json.dumps(data["output"])
                tools[data["id"]].error = data["error"]
            case "progress":
                state.progress[data["label"]] = data
            case "data":
                state.data[data["id"] or data["name"]] = data
            case _:
                pass
    state.tools = sorted(tools.values())
    return state


def _counting(events: Sequence[Event]) -> list[Event]:
    """The events that no `reset` took back."""
    counting: list[Event] = []
    for event in events:
        if event.name != "reset":
            counting.append(event)
        elif step := event.data.get("step"):
            counting = [each for each in counting if each.data.get("step") != step]
        else:
            counting.clear()
    return counting


def _told(event: Event) -> tuple[str, str, dict[str, Any]]:
    return event.id, event.name, event.data
