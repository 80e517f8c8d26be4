"""examples/pydantic_ai_agent.py, killed at random moments."""

from collections import Counter
from pathlib import Path

import pytest

from tests.examples.judging import Tool, assert_like, assert_steps_once, fold
from tests.examples.killing import EXAMPLES_PYTHON, served

pytestmark = [pytest.mark.anyio, pytest.mark.examples, pytest.mark.timeout(400)]

BODY = {"prompt": "Where is it warmer?"}


async def test_a_killed_run_is_told_once_and_repeats_no_finished_unit(tmp_path: Path) -> None:
    module = "examples.pydantic_ai_agent"
    async with served(module, tmp_path, BODY, python=EXAMPLES_PYTHON) as example:
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
