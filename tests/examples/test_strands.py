"""examples/strands_agent.py, which restarts, killed at random moments."""

from pathlib import Path

import pytest

from tests.examples.judging import Tool, assert_like, assert_steps_once, fold
from tests.examples.killing import EXAMPLES_PYTHON, Moment, served

pytestmark = [pytest.mark.anyio, pytest.mark.examples, pytest.mark.timeout(600)]

BODY = {"prompt": "Where is it warmer?"}


async def test_all_readers_of_a_restarted_run_end_with_the_same(tmp_path: Path) -> None:
    module = "examples.strands_agent"
    async with served(module, tmp_path, BODY, python=EXAMPLES_PYTHON) as example:
        undisturbed = await example.undisturbed()
        await example.kill(9, undisturbed)
        thrice = await example.kill_as_planned([Moment(6, 0.1)] * 3)

    told = fold(undisturbed.events)
    assert told.answer == (
        "I compare Paris and Rome. Rome is warmer, so I book Rome. Have a good trip!"
    )
    assert told.tools == [
        Tool("book", '{"city": "Rome"}', '"a trip to Rome"'),
        Tool("weather", '{"city": "Paris"}', '"14 degrees"'),
        Tool("weather", '{"city": "Rome"}', '"23 degrees"'),
    ]
    for run in example.runs:
        assert_like(run, undisturbed)
        assert_steps_once(run)
    assert [event.name for event in thrice.events].count("reset") == 3
