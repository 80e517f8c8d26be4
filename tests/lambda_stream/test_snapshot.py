"""SnapStart: the runtime as a process, against a Runtime API that the test controls.

A process of this test is not copied; tests/local/test_snapshot.py has sandboxes that are.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.lambda_stream.runtime_api import API, INIT_ERROR, NEXT, Request, RuntimeApi, runtime_api
from tests.lambda_stream.sandbox import Sandbox, ours, stock
from tests.lambda_stream.test_loop import PRELUDE, error_of, read

pytestmark = pytest.mark.anyio

Start = Callable[..., AbstractAsyncContextManager[Sandbox]]

RESTORE_NEXT = f"GET {API}/restore/next"
RESTORE_ERROR = f"POST {API}/restore/error"
ERROR_TYPE = "lambda-runtime-function-error-type"

BEFORE = [
    "imported",
    "before, registered last",
    "an event loop runs in a hook",
    "before, registered first",
]
AFTER = ["after, registered first", "after, registered last"]


def snapshotted(
    api: RuntimeApi, handler: str, start: Start = ours, **environ: str
) -> AbstractAsyncContextManager[Sandbox]:
    return start(api, handler, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start", **environ)


async def lines(sandbox: Sandbox, number: int) -> list[str]:
    return [(await sandbox.line()).rstrip() for _ in range(number)]


async def failure(start: Start, moment: str, handler: str = "plain") -> tuple[Any, ...]:
    """Let a function fail at a moment; return its report, and its exit code."""
    reported = INIT_ERROR if moment == "before" else RESTORE_ERROR
    async with (
        runtime_api() as api,
        snapshotted(api, f"snapshot_functions.{handler}", start, FAIL=moment) as sandbox,
    ):
        if moment != "before":
            (await api.request(RESTORE_NEXT)).answer(200)
        request = await api.request(reported)
        body = await request.body()
        request.answer(202)
        code, _ = await sandbox.ended()
        assert api.waiting == []
    return request.headers[ERROR_TYPE], error_of(request, body), code


@pytest.mark.parametrize("start", [ours, stock])
async def test_hooks_run_before_the_snapshot_from_the_last_and_after_it_from_the_first(
    api: RuntimeApi, start: Start
) -> None:
    async with snapshotted(api, "snapshot_functions.plain", start) as sandbox:
        restore = await api.request(RESTORE_NEXT)
        before = await lines(sandbox, len(BEFORE))
        assert api.waiting == []
        restore.answer(200)
        after = await lines(sandbox, len(AFTER))
        _, body = await api.invoke("é")

    assert (before, after) == (BEFORE, AFTER)
    assert json.loads(body)["event"] == "é"


async def test_an_application_starts_after_the_restore_and_its_hooks(api: RuntimeApi) -> None:
    async with snapshotted(api, "snapshot_functions.adapter") as sandbox:
        restore = await api.request(RESTORE_NEXT)
        before = await lines(sandbox, len(BEFORE))
        restore.answer(200)
        after = await lines(sandbox, len(AFTER) + 1)
        _, body = await api.invoke(read("/"))

    assert before == BEFORE
    assert after == [*AFTER, "startup"]
    assert body == PRELUDE + b"one two three"


async def test_the_restore_is_awaited_on_a_connection_of_its_own(api: RuntimeApi) -> None:
    """The other end of a connection is not in the snapshot."""
    async with snapshotted(api, "snapshot_functions.adapter"):
        restore = await api.request(RESTORE_NEXT)
        restore.answer(200)
        poll: Request = await api.request(NEXT)

        assert await restore.closed()
        assert poll.peer != restore.peer


async def test_the_state_of_random_is_not_that_of_the_snapshot(api: RuntimeApi) -> None:
    async with snapshotted(api, "snapshot_functions.plain"):
        (await api.request(RESTORE_NEXT)).answer(200)
        _, body = await api.invoke({})

    result = json.loads(body)
    assert result["drawn"] != result["from_the_seed"]


async def test_the_generator_for_tls_is_seeded_after_the_restore(api: RuntimeApi) -> None:
    async with snapshotted(api, "snapshot_functions.plain"):
        (await api.request(RESTORE_NEXT)).answer(200)
        _, body = await api.invoke({})

    assert json.loads(body)["given"] == [[32, 32]]


@pytest.mark.parametrize(
    ("moment", "header", "exit_code"),
    [("before", "Runtime.BeforeSnapshotError", 64), ("after", "Runtime.AfterRestoreError", 65)],
)
async def test_a_failing_hook_is_reported_and_ends_the_process_as_with_the_stock_runtime(
    moment: str, header: str, exit_code: int
) -> None:
    got, expected = await asyncio.gather(failure(ours, moment), failure(stock, moment))

    assert got[0] == expected[0] == header
    assert got[1]["errorType"] == expected[1]["errorType"] == "ValueError"
    assert got[1]["errorMessage"] == expected[1]["errorMessage"] == f"failed {moment}"
    assert got[2] == expected[2] == exit_code


async def test_an_application_that_cannot_start_after_the_restore_is_a_restore_error() -> None:
    header, error, code = await failure(ours, "startup", "adapter")

    assert header == "Runtime.AfterRestoreError"
    assert error["errorType"] == "Runtime.LifespanFailed"
    assert error["errorMessage"] == "failed at startup"
    assert code == 65


@pytest.mark.parametrize("start", [ours, stock])
async def test_without_a_restore_there_is_no_sandbox(api: RuntimeApi, start: Start) -> None:
    async with snapshotted(api, "snapshot_functions.plain", start) as sandbox:
        (await api.request(RESTORE_NEXT)).answer(500)
        report = await api.request(INIT_ERROR)
        report.answer(202)
        code, _ = await sandbox.ended()

    assert report.headers[ERROR_TYPE] == "Runtime.BeforeSnapshotError"
    assert code == 64


async def test_a_report_that_is_refused_still_ends_the_process(api: RuntimeApi) -> None:
    async with snapshotted(api, "snapshot_functions.plain", FAIL="after") as sandbox:
        (await api.request(RESTORE_NEXT)).answer(200)
        (await api.request(RESTORE_ERROR)).answer(500)
        code, output = await sandbox.ended()

    assert code == 65
    assert "ValueError: failed after" in output
    assert "could not be reported: /restore/error was answered 500" in output


async def test_a_function_that_cannot_be_imported_is_an_init_error(api: RuntimeApi) -> None:
    async with snapshotted(api, "missing.handler") as sandbox:
        report = await api.request(INIT_ERROR)
        report.answer(202)
        code, _ = await sandbox.ended()

    assert report.headers[ERROR_TYPE] == "Runtime.ImportModuleError"
    assert code == 1


async def test_a_function_without_hooks_needs_no_package_for_them(api: RuntimeApi) -> None:
    async with snapshotted(api, "functions.adapter"):
        (await api.request(RESTORE_NEXT)).answer(200)
        _, body = await api.invoke(read("/startups"))

    assert body.removeprefix(PRELUDE).startswith(b"1 ")


async def test_where_no_snapshot_is_taken_no_hook_runs(api: RuntimeApi) -> None:
    async with ours(api, "snapshot_functions.adapter") as sandbox:
        _, body = await api.invoke(read("/"))
        said = await lines(sandbox, 2)

    assert said == ["imported", "startup"]
    assert body == PRELUDE + b"one two three"
