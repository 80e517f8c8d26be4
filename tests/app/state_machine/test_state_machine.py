"""What holds after whatever steps: the protocol's rules, on the real log and its real writers.

Hypothesis makes up the steps: requests to several sandboxes, what the model does, what becomes of
sandboxes, and what DynamoDB and the network do to their calls. The rules are checked after each.
At the end all faults are mended, and every client must come to the end of its stream.

`STATE_MACHINE_EXAMPLES=1000` tries more than the usual number of examples.
"""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.app.state_machine.cluster import cluster
from tests.app.state_machine.protocol import Protocol

EXAMPLES = int(os.environ.get("STATE_MACHINE_EXAMPLES") or 25)
STEPS = 25


@pytest.mark.dynamodb_local
@pytest.mark.timeout(1200)
def test_no_steps_lose_repeat_reorder_or_strand_anything(
    dynamodb_local_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
    with cluster(dynamodb_local_url) as shared:
        run_state_machine_as_test(
            lambda: Protocol(shared),  # type: ignore[arg-type] # a factory will do
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                # What lets a change in must not depend on luck; luck is for every other day.
                derandomize=os.environ.get("CI") == "true",
                suppress_health_check=list(HealthCheck),
            ),
        )
