"""The sandboxes of a stream: who writes, who wrote, and who reads, by the emulator's DynamoDB."""

import subprocess
import sys
from collections.abc import Iterator

import boto3
import pytest

from local import Options
from local.dynamodb import create_table
from local.options import PROJECT
from local.template import read_table
from local.writers import Writers, ask_writers
from tests.local.conftest import Emulate

pytestmark = pytest.mark.anyio

ONE, TWO = "1" * 32, "2" * 32


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    command = [sys.executable, "-m", "local.moto_server"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        create_table(url, read_table(Options().template))
        yield url
        process.kill()


def put(url: str, sender: str, stream_id: str, seq: int, kind: str) -> None:
    """Append a record as the sandbox with this id does: a `start` without being the writer."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_SDK_UA_APP_ID", sender)
        client = boto3.client(
            "dynamodb",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
    item = {
        "stream_id": {"S": stream_id},
        "seq": {"N": str(seq)},
        "kind": {"S": kind},
        "writer": {"S": "" if kind == "start" else "w"},
    }
    client.put_item(
        TableName="StreamTable",
        Item=item,
        ConditionExpression="attribute_not_exists(stream_id)",
    )
    client.close()


async def test_the_writer_is_the_sandbox_that_put_the_newest_record(url: str) -> None:
    put(url, ONE, "a", 0, "start")
    assert await ask_writers(url, "a") == Writers()
    put(url, ONE, "a", 1, "claim")
    put(url, ONE, "a", 2, "answer")
    assert await ask_writers(url, "a") == Writers((ONE,), writing=True)
    put(url, TWO, "a", 3, "claim")
    assert await ask_writers(url, "a") == Writers((ONE, TWO), writing=True)
    put(url, TWO, "a", 4, "done")
    assert await ask_writers(url, "a") == Writers((ONE, TWO), writing=False)
    assert await ask_writers(url, "b") == Writers(), "another stream"


async def test_a_put_that_is_refused_makes_no_writer(url: str) -> None:
    put(url, ONE, "c", 0, "claim")
    with pytest.raises(Exception, match="ConditionalCheckFailed"):
        put(url, TWO, "c", 0, "claim")
    assert await ask_writers(url, "c") == Writers((ONE,), writing=True)


@pytest.mark.parametrize("kind", ["cancelled", "error", "handoff"])
async def test_behind_an_end_or_a_handoff_nobody_writes(url: str, kind: str) -> None:
    """A reader who cancels has not written the stream."""
    put(url, ONE, kind, 0, "claim")
    put(url, TWO, kind, 1, kind)
    assert await ask_writers(url, kind) == Writers((ONE,), writing=False)


async def test_a_program_without_an_app_id_is_no_sandbox(url: str) -> None:
    put(url, "", "d", 0, "claim")
    assert await ask_writers(url, "d") == Writers()


async def test_another_dynamodb_does_not_know_the_writers(emulate: Emulate) -> None:
    async with emulate() as emulator:
        assert await ask_writers(emulator.running.url, "a") is None
    assert await ask_writers(emulator.running.url, "a") is None, "nothing listens there"


async def test_each_sandbox_has_an_id_of_its_own(emulate: Emulate) -> None:
    async with emulate() as emulator:
        ids = []
        for name in ("sandbox-1", "sandbox-2"):
            environment = (await emulator.client.get("/environment")).json()
            ids.append(environment["AWS_SDK_UA_APP_ID"])
            assert environment["AWS_LAMBDA_LOG_STREAM_NAME"].endswith(ids[-1])
            await emulator.act("kill", name)
    assert len(set(ids)) == 2


async def test_the_roles_follow_the_writer_the_readers_and_their_states(
    emulate: Emulate, dynamodb_url: str
) -> None:
    async with emulate(sandboxes=3) as emulator:

        async def roles() -> dict[str, str | None]:
            report = (await emulator.client.get("/_local/streams/e")).json()
            assert report["writer_known"] is True
            return {each["name"]: each["role"] for each in report["sandboxes"]}

        first = (await emulator.client.get("/environment")).json()["AWS_SDK_UA_APP_ID"]
        await emulator.until(lambda all_: all_[0]["state"] == "idle")
        put(dynamodb_url, first, "e", 0, "claim")
        assert await roles() == {"sandbox-1": "wrote"}, "without an invocation it cannot write"
        async with emulator.client.stream("GET", "/stream"):
            proceed = await emulator.gate.expect("one")
            assert await roles() == {"sandbox-1": "writes"}
            await emulator.act("freeze")
            assert await roles() == {"sandbox-1": "writes"}
            second = (await emulator.client.get("/environment")).json()["AWS_SDK_UA_APP_ID"]
            put(dynamodb_url, second, "e", 1, "claim")
            assert await roles() == {"sandbox-1": "wrote", "sandbox-2": "wrote"}
            await emulator.act("thaw")
            proceed()
            (await emulator.gate.expect("two"))()
        async with emulator.client.stream("GET", "/stream") as response:
            await emulator.gate.expect("one")
            (writer,) = [
                each
                for each in await emulator.sandboxes()
                if response.headers["x-amzn-requestid"]
                in {invocation["request_id"] for invocation in each["invocations"]}
            ]
            sender = {"sandbox-1": first, "sandbox-2": second}[writer["name"]]
            put(dynamodb_url, sender, "e", 2, "claim")
            assert (await roles())[writer["name"]] == "writes"
            await emulator.act("kill", writer["name"])
            assert (await roles())[writer["name"]] == "wrote", "also before its process is gone"
