"""Complaints of sandboxes are heard, unless a fault explains them."""

import json
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from proof.chaos.sandbox_log import Complaint, SandboxLog
from proof.chaos.sandboxes import Frozen, Sandboxes

pytestmark = pytest.mark.anyio

NAMED = "sandbox-1 | "
LOST = "the store failed; the stream is left to another writer"


@pytest.fixture
async def sandboxes() -> AsyncIterator[Sandboxes]:
    async with httpx.AsyncClient() as http:
        yield Sandboxes(http)


@pytest.fixture
async def log(sandboxes: Sandboxes) -> SandboxLog:
    """The log of a function with one sandbox, process 42."""
    heard = SandboxLog(sandboxes)
    heard(f"{NAMED}process 42")
    return heard


def entry(message: str, **more: str | list[str]) -> str:
    return NAMED + json.dumps(
        {"level": "ERROR", "location": "_write:1", "message": message, **more}
    )


async def test_a_broken_writer_is_heard_with_its_stream(log: SandboxLog) -> None:
    frames = ["  File a, line 1\n    a()\n", "  File b, line 2\n    b()\n"]
    log(entry("the writer broke", error="KeyError", stream="abcdefgh", frames=frames))

    what = "the writer broke (KeyError) at _write:1\n  File b, line 2\n    b()"
    expected = Complaint(42, what, "abcdefgh")
    assert log.complaints == [expected]


async def test_a_log_out_of_reach_explains_who_gives_up_and_nothing_else_does(
    log: SandboxLog, sandboxes: Sandboxes
) -> None:
    sandboxes.disturb(42)
    log(entry(LOST, exception_name="StoreUnavailable"))
    assert log.complaints == []

    log(entry(LOST, exception_name="StoreRefused"))
    log(entry("the writer broke", error="StoreUnavailable"))
    assert len(log.complaints) == 2


async def test_a_log_that_fails_who_was_not_disturbed_is_heard(
    log: SandboxLog, sandboxes: Sandboxes
) -> None:
    sandboxes.disturb(43)
    sandboxes.disturbed[42] = time.monotonic() - 60
    log(entry(LOST, exception_name="StoreUnavailable"))

    assert len(log.complaints) == 1


async def test_a_machine_that_stalls_keeps_everybody_from_the_log(
    log: SandboxLog, sandboxes: Sandboxes
) -> None:
    sandboxes.stalled_at = time.monotonic()
    log(entry(LOST, exception_name="StoreUnavailable"))

    assert log.complaints == []


BROKEN = [
    "Error: Runtime exited: exit status 1\tRuntime.ExitError",
    "RequestId: 4f-1 Error: Runtime.TruncatedResponse: the answer has no end",
]


@pytest.mark.parametrize("line", BROKEN)
async def test_who_ends_or_breaks_off_by_himself_is_heard(log: SandboxLog, line: str) -> None:
    log(NAMED + line)

    assert len(log.complaints) == 1


@pytest.mark.parametrize("line", BROKEN)
async def test_who_is_killed_or_frozen_ends_and_breaks_off(
    log: SandboxLog, sandboxes: Sandboxes, line: str
) -> None:
    sandboxes.ended.add(42)
    log(NAMED + line)
    sandboxes.ended.clear()
    sandboxes.frozen[42].append(Frozen(since=time.monotonic() - 5))
    log(NAMED + line)

    assert log.complaints == []


async def test_of_a_traceback_the_first_line_and_the_last_are_heard(log: SandboxLog) -> None:
    for line in ("Traceback (most recent call last):", '  File "x.py"', "    x()", "ValueError: 1"):
        log(NAMED + line)

    assert [each.what for each in log.complaints] == [
        "Traceback (most recent call last):",
        "ValueError: 1",
    ]


async def test_an_invocation_that_hangs_until_its_deadline_is_heard(log: SandboxLog) -> None:
    log(f"{NAMED}4f-1 Task timed out after 20.00 seconds")

    assert [each.what for each in log.complaints] == ["an invocation did not end within 20 s"]


@pytest.mark.parametrize(
    "line",
    [
        f"{NAMED}4f-1 Task timed out after 20.00 seconds",
        entry("UnexpectedMessage: …", errorType="UnexpectedMessage"),
    ],
)
async def test_who_was_frozen_may_miss_a_deadline(
    log: SandboxLog, sandboxes: Sandboxes, line: str
) -> None:
    sandboxes.frozen[42].append(Frozen(since=time.monotonic() - 5))
    log(line)

    assert log.complaints == []


@pytest.mark.parametrize(
    "line",
    [
        "START RequestId: 4f-1 Version: $LATEST",
        "END RequestId: 4f-1",
        "REPORT RequestId: 4f-1\tDuration: 5.00 ms",
        "RequestId: 4f-1 Error: KeyError",
    ],
)
async def test_what_lambda_itself_writes_is_no_complaint(log: SandboxLog, line: str) -> None:
    log(NAMED + line)

    assert log.complaints == []
