"""examples/pydantic_ai_agent.py, killed at random moments."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.examples.judging import Tool, assert_like, assert_steps_once, assert_told_once, fold
from tests.examples.killing import EXAMPLES_PYTHON, served

pytestmark = [pytest.mark.anyio, pytest.mark.examples, pytest.mark.timeout(600)]

BODY = {"prompt": "Where is it warmer?"}


EXAMPLE = "examples.pydantic_ai_agent"
TEAMS = "tests.examples.agents.pydantic_ai_teams"


async def test_a_killed_run_is_told_once_and_repeats_no_finished_unit(tmp_path: Path) -> None:
    async with served(EXAMPLE, tmp_path, BODY, python=EXAMPLES_PYTHON) as example:
        undisturbed = await example.undisturbed()
        await example.kill(60, undisturbed)

    told = fold(undisturbed.events)
    assert told.answer == (
        "I compare the weather in Paris and in Rome. There are 14 degrees in Paris and 23 degrees "
        "in Rome, so I book Rome. Done: a trip to Rome."
    )
    assert told.tools == [
        Tool("book", '{"city": "Rome"}', '"a trip to Rome"'),
        Tool("weather", '{"city": "Paris"}', '"14 degrees"'),
        Tool("weather", '{"city": "Rome"}', '"23 degrees"'),
    ]
    for run in example.runs:
        assert_like(run, undisturbed)
        assert_steps_once(run)
    print(Counter(kind for run in example.runs for kind in run.killed))  # noqa: T201


async def test_sub_agents_at_once_never_get_each_others_values(tmp_path: Path) -> None:
    body = {**BODY, "agent": "team"}
    async with served(TEAMS, tmp_path, body, python=EXAMPLES_PYTHON) as example:
        undisturbed = await example.undisturbed()
        await example.kill(20, undisturbed)

    told = fold(undisturbed.events)
    assert told.answer == (
        "I ask two experts. One is an expert of moon, the other an expert of sun. "
        "Again an expert of moon."
    )
    for run in example.runs:
        assert_like(run, undisturbed)
        assert_steps_once(run)


async def test_a_model_that_says_something_else_is_told_from_its_beginning(tmp_path: Path) -> None:
    body = {**BODY, "agent": "fickle"}
    async with served(TEAMS, tmp_path, body, python=EXAMPLES_PYTHON) as example:
        await example.kill(12, await example.undisturbed())

    resets = 0
    for run in example.runs:
        assert_told_once(run)
        assert_steps_once(run)
        told = fold(run.events)
        first, second = (json.loads(call.output) for call in told.tools)
        assert told.answer in (
            f"I note {first}; I note {second}; Noted {first} and {second}.",
            f"I note {second}; I note {first}; Noted {second} and {first}.",
        )
        resets += sum(event.name == "reset" for event in run.events)
    assert resets


async def test_a_model_that_fails_is_asked_again_and_a_tool_that_fails_is_a_result(
    tmp_path: Path,
) -> None:
    body = {**BODY, "agent": "flaky"}
    async with served(TEAMS, tmp_path, body, python=EXAMPLES_PYTHON) as example:
        run = await example.undisturbed()

    assert_told_once(run)
    assert_steps_once(run)
    told = fold(run.events)
    assert told.answer == "I am back. The tool is broken."
    assert told.tools == [Tool("break_down", "{}", "null", "broken")]
    assert [event.data["attempt"] for event in run.events if event.name == "claim"] == [1, 2]
