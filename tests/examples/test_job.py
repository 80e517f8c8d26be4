"""examples/job.py, killed at random moments."""

from collections import Counter
from pathlib import Path

import pytest

from tests.examples.judging import assert_like, assert_steps_once, fold
from tests.examples.killing import served

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

JOB = {"prompt": "Words", "files": 8, "seconds": 0.1}


@pytest.mark.parametrize("kills", [6, pytest.param(60, marks=pytest.mark.prove)])
async def test_a_killed_job_repeats_no_finished_part(kills: int, tmp_path: Path) -> None:
    async with served("examples.job", tmp_path, JOB) as example:
        undisturbed = await example.undisturbed()
        await example.kill(kills, undisturbed)

    assert fold(undisturbed.events).answer == "Words: 8 files, 3600 words."
    for run in example.runs:
        assert_like(run, undisturbed)
        assert_steps_once(run)
    print(Counter(kind for run in example.runs for kind in run.killed))  # noqa: T201
