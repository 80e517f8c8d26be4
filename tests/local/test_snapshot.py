"""Sandboxes that are copies of one snapshot, as with SnapStart; `local/zygote.py` says how."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import boto3
import httpx
import pytest

from local import CannotStart
from local.options import PROJECT, parse
from local.snapshot import Snapshot
from tests.local.conftest import Emulate, Emulator
from tests.local.processes import PATIENCE, descendants, until_gone
from tests.local.test_command_line import running
from tests.store import client as dynamodb
from tests.store import faulty

pytestmark = pytest.mark.anyio

SOURCE = PROJECT / "src"
FUNCTION = {
    "snapstart": True,
    "task_root": SOURCE,
    "handler": "restored.handler",
}
# So fast that a stream takes half a second.
DEMO = {"DEMO_TOKENS": "50", "DEMO_TOKENS_PER_SECOND": "100", "DEMO_FIRST_TOKEN_MS": "0"}


@pytest.fixture
def peer() -> Iterator[str]:
    """A server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield "{}:{}".format(*listener.getsockname())


def environ(peer: str, **variables: str) -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).parent / "snapshot"), "PEER": peer, **variables}


async def report(emulator: Emulator) -> dict[str, Any]:
    """Ask one sandbox for its report, and end it."""
    response = await emulator.client.get("/")
    assert response.status_code == 200
    await kill_all(emulator)
    reported: dict[str, Any] = response.json()
    return reported


async def kill_all(emulator: Emulator) -> None:
    for each in await emulator.sandboxes():
        if each["state"] != "dead":
            await emulator.act("kill", each["name"])
    await emulator.until(lambda all_: {each["state"] for each in all_} <= {"dead"})


async def test_sandboxes_have_one_past_and_each_a_future_of_its_own(
    emulate: Emulate, peer: str
) -> None:
    async with emulate(**FUNCTION, env=environ(peer)) as emulator:
        reports = [await report(emulator) for _ in range(3)]

    assert len({json.dumps(each["before"]) for each in reports}) == 1
    assert len({each["own"]["pid"] for each in reports}) == 3
    for drawn in ("secret", "jitter"):
        assert len({str(each["own"][drawn]) for each in reports}) == 3
    # No sandbox goes on with the numbers that the snapshot's `random` would give next.
    assert len({number for each in reports for number in each["own"]["jitter"]}) == 15


async def test_the_gap_is_in_the_time_of_day_and_not_in_the_monotonic_clock(
    emulate: Emulate, peer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An age by the monotonic clock is too young by the gap. So nothing has an age before it."""
    gap = 1.0
    restore = Snapshot.restore

    async def restore_later(*arguments: Any) -> Any:
        await asyncio.sleep(gap)
        return await restore(*arguments)

    monkeypatch.setattr(Snapshot, "restore", restore_later)
    async with emulate(**FUNCTION, env=environ(peer)) as emulator:
        reported = await report(emulator)

    aged = {
        clock: reported["after"][clock] - reported["before"][clock]
        for clock in ("monotonic", "time")
    }
    assert aged["time"] - aged["monotonic"] >= gap


async def test_a_connection_of_the_snapshot_is_dead_in_every_sandbox(
    emulate: Emulate, peer: str
) -> None:
    async with emulate(**FUNCTION, env=environ(peer)) as emulator:
        reports = [await report(emulator) for _ in range(2)]

    assert [each["after"]["received"] for each in reports] == [0, 0]


async def test_the_log_says_how_long_a_restore_took(emulate: Emulate, peer: str) -> None:
    async with emulate(**FUNCTION, env=environ(peer)) as emulator:
        await report(emulator)
        assert "\tRestore Duration: " in await emulator.log.seen("sandbox-1 | REPORT RequestId: ")


async def test_a_function_that_fails_before_its_snapshot_does_not_start(
    emulate: Emulate, peer: str
) -> None:
    async with emulate(**FUNCTION, env=environ(peer, FAIL="before")) as emulator:
        with pytest.raises(CannotStart, match="failed before"):
            await emulator.running.warm_up()
        assert (await emulator.client.get("/")).status_code == 502
        await emulator.log.seen("snapshot | INIT_REPORT", "Runtime.BeforeSnapshotError")


async def test_a_function_that_fails_after_a_restore_ends_that_sandbox(
    emulate: Emulate, peer: str
) -> None:
    async with emulate(**FUNCTION, env=environ(peer, FAIL="after")) as emulator:
        assert (await emulator.client.get("/")).status_code == 502
        await emulator.log.seen("RESTORE_REPORT Restore Duration: ", "Runtime.AfterRestoreError")
        await emulator.until(lambda all_: all_[0]["state"] == "dead")


async def test_a_restore_that_takes_too_long_is_ended(
    emulate: Emulate, peer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.sandbox.RESTORE_LIMIT", 0.5)
    async with emulate(**FUNCTION, env=environ(peer, FAIL="late")) as emulator:
        assert (await emulator.client.get("/")).status_code == 502
        await emulator.log.seen("RESTORE_REPORT Restore Duration: ", "Status: timeout")
        await emulator.until(lambda all_: all_[0]["state"] == "dead")


async def test_a_source_change_is_a_new_snapshot(
    emulate: Emulate, peer: str, tmp_path: Path
) -> None:
    root = tmp_path / "changing"
    root.mkdir()
    (root / "bootstrap").write_text(
        f'#!/bin/sh\nLAMBDA_TASK_ROOT={SOURCE} exec {SOURCE}/bootstrap "$1"\n'
    )
    (root / "bootstrap").chmod(0o755)
    async with emulate(**{**FUNCTION, "task_root": root}, env=environ(peer)) as emulator:
        first, second = await report(emulator), await report(emulator)
        (root / "web.py").write_text("new")
        third = await report(emulator)

    assert first["before"] == second["before"] != third["before"]


async def test_the_emulator_leaves_no_process(emulate: Emulate, peer: str) -> None:
    others = descendants(os.getpid())
    async with emulate(**FUNCTION, env=environ(peer)) as emulator:
        response = await emulator.client.get("/")
        below = descendants(os.getpid()) - others

    assert response.json()["own"]["pid"] in below
    await until_gone(below)


async def test_a_killed_emulator_leaves_no_process(dynamodb_url: str, peer: str) -> None:
    env = [f"{name}={value}" for name, value in environ(peer).items()]
    arguments = ["--snapstart", "--handler", "restored.handler", "--dynamodb-url", dynamodb_url]
    async with running(*arguments, "--env", env[0], "--env", env[1]) as (process, url, output):
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
            pid = (await client.get(url)).json()["own"]["pid"]
        below = descendants(process.pid)
        process.kill()
        await process.wait()
        await until_gone(below)

    assert "restored from a snapshot" in output
    assert pid in below


async def test_a_runtime_that_does_not_wait_for_a_restore_is_an_error(
    emulate: Emulate, task_root: Path
) -> None:
    (task_root / "bootstrap").write_text('#!/bin/sh\nexec "$1" -m runtime\n')
    async with emulate(snapstart=True) as emulator:
        with pytest.raises(CannotStart, match="without waiting for a restore"):
            await emulator.running.warm_up()


async def test_without_the_package_for_hooks_there_is_no_snapshot(
    emulate: Emulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", None)
    with pytest.raises(CannotStart, match="snapshot-restore-py"):
        async with emulate(snapstart=True):
            pass


def test_lambda_has_no_snapshots_of_managed_instances() -> None:
    with pytest.raises(SystemExit):
        parse(["--snapstart", "--concurrency", "2"])


# The application

Application: TypeAlias = AbstractAsyncContextManager[Emulator]


@asynccontextmanager
async def application(emulate: Emulate, **variables: str) -> AsyncIterator[Emulator]:
    env = {**DEMO, **variables}
    async with emulate(snapstart=True, task_root=SOURCE, env=env) as emulator:
        yield emulator


async def create(emulator: Emulator, token: str = "") -> httpx.Response:
    """Create a stream, and read it to its end."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = {"prompt": "Tell me something."}
    return await emulator.client.post("/streams?stream=true", json=body, headers=headers)


def writers(emulator: Emulator) -> dict[str, str]:
    """The writer of each stream in the table."""
    items = dynamodb(emulator.running.dynamodb_url).scan(TableName=emulator.running.table_name)
    return {
        item["stream_id"]["S"]: item["writer"]["S"] for item in items["Items"] if "writer" in item
    }


async def test_a_stream_is_served_whole_after_a_restore(emulate: Emulate) -> None:
    async with application(emulate) as emulator:
        response = await create(emulator)
        events = response.text

    assert response.status_code == 200
    assert events.count("event: done") == 1
    ids = [line.rpartition(":")[2] for line in events.splitlines() if line.startswith("id: ")]
    assert ids[-1] == "end"


async def test_sandboxes_of_one_snapshot_never_share_a_writers_name(emulate: Emulate) -> None:
    number = 4
    async with application(emulate) as emulator:
        known = writers(emulator)
        for _ in range(number):
            assert (await create(emulator)).status_code == 200
            await kill_all(emulator)
        named = [name for id_, name in writers(emulator).items() if id_ not in known]

    assert len(set(named)) == len(named) == number


@pytest.mark.access
async def test_tokens_are_not_in_the_snapshot_and_each_sandbox_reads_them(
    emulate: Emulate, aws: str
) -> None:
    """So a sandbox that is restored after a rotation lets nobody in who was let in before it."""
    old, new = "o" * 32, "n" * 32
    store = boto3.client("secretsmanager", region_name="us-east-1")
    store.create_secret(Name="tokens", SecretString=json.dumps({"website": old}))
    async with (
        faulty(aws) as seen,
        application(
            emulate,
            AWS_ENDPOINT_URL_SECRETS_MANAGER=seen.url,
            API_TOKENS_FROM="secretsmanager:tokens",
        ) as emulator,
    ):
        assert (await create(emulator, old)).status_code == 200
        store.put_secret_value(SecretId="tokens", SecretString=json.dumps({"website": new}))
        await kill_all(emulator)
        refused = await create(emulator, old)
        let_in = await create(emulator, new)
        await kill_all(emulator)

    assert (refused.status_code, let_in.status_code) == (401, 200)
    assert seen.calls == {"GetSecretValue": 2}
