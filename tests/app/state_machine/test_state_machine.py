"""What holds after whatever steps: the protocol's rules, on the real log and its real writers.

Hypothesis makes up the steps: requests to several sandboxes, what the model does, what becomes of
sandboxes, and what DynamoDB and the network do to their calls. The rules are checked after each.
At the end all faults are mended, and every client must come to the end of its stream.

`STATE_MACHINE_EXAMPLES=1000` tries more than the usual number of examples.
"""

import os
import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from app.event_log import dynamodb
from app.event_log.records import Heartbeat, Payload, Record
from app.generation import transcript
from app.generation.writer import Writer, append_patiently
from tests.app.state_machine.cluster import Cluster, cluster
from tests.app.state_machine.protocol import Protocol

EXAMPLES = int(os.environ.get("STATE_MACHINE_EXAMPLES") or 25)
STEPS = 25

# In seconds; an example takes one or two, and its shrinking hundreds.
_EXAMPLE_WITHIN = 30

# So many examples find a mistake that the protocol does not survive; most often a few do.
_ENOUGH = 100

Mutation = Callable[[pytest.MonkeyPatch], None]


def run(shared: Cluster, *, examples: int, **options: Any) -> None:
    run_state_machine_as_test(
        lambda: Protocol(shared),  # type: ignore[arg-type] # a factory will do
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
        # What lets a change in must not depend on luck; luck is for every other day.
        run(shared, examples=EXAMPLES, derandomize=os.environ.get("CI") == "true")


async def _append_and_go_on(writer: Writer, payload: Payload, patience: float) -> Record:
    """As `Writer.append`, but whoever is superseded does not notice."""
    record = Record(
        stream_id=writer.stream_id,
        seq=writer.seq,
        payload=payload,
        writer=writer.name,
        nonce=secrets.token_urlsafe(9),
        at=int(time.time() * 1000),
        expires_at=writer.expires_at,
    )
    await append_patiently(writer.log, record, patience)
    writer.seq += 1
    return record


def superseded_goes_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Writer, "append", _append_and_go_on)


def gaps_are_delivered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dynamodb, "_without_gaps", lambda records, _: records)


def given_up_too_early(patch: pytest.MonkeyPatch) -> None:
    fruitless = transcript._fruitless
    patch.setattr(transcript, "_fruitless", lambda payloads: fruitless(payloads) + 2)


def writers_break(patch: pytest.MonkeyPatch) -> None:
    append = Writer.append

    async def broken(writer: Writer, payload: Payload, patience: float) -> Record:
        if payload.kind == Heartbeat.kind:
            raise RuntimeError("broken by the test")
        return await append(writer, payload, patience)

    patch.setattr(Writer, "append", broken)


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
            },
        ),
        (gaps_are_delivered, {"a page has no gaps"}),
        (given_up_too_early, {"nobody gives up too early"}),
        (writers_break, {"nothing breaks unheard"}),
    ],
)
def test_what_breaks_the_protocol_is_found(
    mutate: Mutation, rules: set[str], dynamodb_local_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    with cluster(dynamodb_local_url) as shared, pytest.raises((AssertionError, Flaky)):
        run(
            shared,
            examples=_ENOUGH,
            derandomize=True,
            phases=[Phase.generate],
            report_multiple_bugs=False,
        )
    # The first: the same steps, played again, may come to another, or to none.
    assert shared.broken_rules[0] in rules
