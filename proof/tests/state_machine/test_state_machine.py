"""The protocol's rules hold after any steps, on the real log and its real writers.

Hypothesis makes up the steps: requests to several sandboxes, steps of the model and of sandboxes,
and the effects of DynamoDB and the network on their calls. The rules are checked after each.
At the end all faults are mended, and every client must come to the end of its stream.

`STATE_MACHINE_EXAMPLES=1000` tries more than the usual number of examples.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from proof.tests.state_machine.cluster import Cluster, cluster
from proof.tests.state_machine.mutations import (
    Mutation,
    complete_too_early,
    ends_of_steps_are_forgotten,
    gaps_are_delivered,
    given_up_too_early,
    keys_of_steps_do_not_count,
    silence_is_never_over,
    steps_begin_too_early,
    superseded_goes_on,
    tails_keep_what_is_before_a_gap,
    writers_break,
    writers_give_up_in_a_silence,
)
from proof.tests.state_machine.protocol import Protocol

EXAMPLES = int(os.environ.get("STATE_MACHINE_EXAMPLES") or 25)
STEPS = 25

# In seconds; an example takes one or two, and its shrinking hundreds.
_EXAMPLE_WITHIN = 30

# So many examples find a mistake that the protocol does not survive; most often a few do.
_ENOUGH = 100


def run(begin: Callable[[], Protocol], *, examples: int, **options: Any) -> None:
    run_state_machine_as_test(
        begin,  # type: ignore[arg-type] # a factory will do
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            **options,
        ),
    )


@pytest.fixture(autouse=True)
def _no_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")


@pytest.mark.dynamodb_local
@pytest.mark.timeout(max(1200, EXAMPLES * _EXAMPLE_WITHIN))
def test_no_steps_lose_repeat_reorder_or_strand_anything(dynamodb_local_url: str) -> None:
    with cluster(dynamodb_local_url) as shared:
        # The run that lets a change in must not depend on luck; luck is for every other day.
        run(lambda: Protocol(shared), examples=EXAMPLES, derandomize=os.environ.get("CI") == "true")


def first(shared: Cluster) -> Protocol:
    """An example, unless one before has broken a rule.

    The same steps, played again as Hypothesis does, may come to another rule, or to none.
    """
    assert not shared.broken_rules, "once is enough"
    return Protocol(shared)


@pytest.mark.dynamodb_local
@pytest.mark.timeout(_ENOUGH * _EXAMPLE_WITHIN)
@pytest.mark.parametrize(
    ("mutate", "rules"),
    [
        (
            superseded_goes_on,
            {
                "a reader gets the log, from where it asked",
                "each number once, in order",
                "nothing follows the end",
                "nothing is given back twice",
                "a stop that is answered has ended the stream",
            },
        ),
        (gaps_are_delivered, {"a page has no gaps"}),
        (given_up_too_early, {"nobody gives up too early"}),
        (writers_break, {"nothing breaks unheard"}),
        (complete_too_early, {"a complete client has received all stored records"}),
        (tails_keep_what_is_before_a_gap, {"a reader gets the log, from where it asked"}),
        (silence_is_never_over, {"somebody waits in vain"}),
        (writers_give_up_in_a_silence, {"a writer that has not lost goes on"}),
        (
            ends_of_steps_are_forgotten,
            {
                "a step whose end is recorded does not run again",
                "nothing of a step follows its end",
                "a step ends once",
            },
        ),
        (steps_begin_too_early, {"a step runs behind the record of its begin"}),
        (keys_of_steps_do_not_count, {"a step begins once", "nothing of a step follows its end"}),
    ],
)
def test_what_breaks_the_protocol_is_found(
    mutate: Mutation, rules: set[str], dynamodb_local_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    with cluster(dynamodb_local_url) as shared, pytest.raises((AssertionError, Flaky)):
        run(
            lambda: first(shared),
            examples=_ENOUGH,
            derandomize=True,
            phases=[Phase.generate],
            report_multiple_bugs=False,
        )
    assert shared.broken_rules[0] in rules
