import asyncio
import re
import sys

import httpx
import pytest

from local.pool import TURNAROUND
from tests.local.conftest import Emulate
from tests.local.processes import state, until_stopped

pytestmark = pytest.mark.anyio


# One invocation at a time


async def test_a_warm_sandbox_is_used_again_at_once(emulate: Emulate) -> None:
    async with emulate() as emulator:
        assert len({await emulator.pid() for _ in range(20)}) == 1


async def test_a_request_does_not_wait_for_a_sandbox_that_lingers_after_its_answer(
    emulate: Emulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.pool.TURNAROUND", TURNAROUND)
    async with emulate() as emulator:
        lingering = (await emulator.client.get("/linger")).json()
        assert await emulator.pid() != lingering


async def test_the_sandbox_used_last_is_used_first(emulate: Emulate) -> None:
    async with emulate() as emulator:
        pending = asyncio.create_task(emulator.client.get("/stream"))
        proceed = await emulator.gate.expect("one")
        other = await emulator.pid()
        # A sandbox is used until it asks for the next event, which is later than its answer.
        await emulator.until(lambda all_: {each["state"] for each in all_} == {"busy", "idle"})
        proceed()
        (await emulator.gate.expect("two"))()
        await pending
        await emulator.until(lambda all_: {each["state"] for each in all_} == {"idle"})
        assert await emulator.pid() != other


async def test_an_idle_sandbox_is_frozen_and_thaws_for_the_next_event(emulate: Emulate) -> None:
    async with emulate() as emulator:
        pid = await emulator.pid()
        await until_stopped(pid)
        assert await emulator.pid() == pid


async def test_a_sandbox_is_busy_until_its_next_poll(emulate: Emulate) -> None:
    async with emulate() as emulator:
        pid = (await emulator.client.get("/linger")).json()
        proceed = await emulator.gate.expect("lingering")
        assert (await emulator.sandbox())["state"] == "busy"
        assert state(pid) != "T"
        proceed()
        await until_stopped(pid)
        assert (await emulator.sandbox())["state"] == "idle"


async def test_the_functions_log_has_the_sandboxs_lines_and_lambdas(emulate: Emulate) -> None:
    async with emulate(memory=256) as emulator:
        request_id = (await emulator.client.get("/pid")).headers["x-amzn-requestid"]
        await emulator.log.seen("sandbox-1 | runtime starts")
        await emulator.log.seen(f"sandbox-1 | START RequestId: {request_id} Version: $LATEST")
        await emulator.log.seen(f"sandbox-1 | END RequestId: {request_id}")
        report = await emulator.log.seen(f"sandbox-1 | REPORT RequestId: {request_id}\tDuration: ")
        assert "\tMemory Size: 256 MB\t" in report
        assert "\tInit Duration: " in report
        again = (await emulator.client.get("/pid")).headers["x-amzn-requestid"]
        assert "Init Duration" not in await emulator.log.seen(f"REPORT RequestId: {again}")


async def test_a_sandbox_that_idles_too_long_is_shut_down(emulate: Emulate) -> None:
    async with emulate(keep_warm=0.05) as emulator:
        await emulator.pid()
        await emulator.until(lambda all_: all_[0]["state"] == "dead")
        assert not [line for line in emulator.log.lines if "Error" in line]


# Ends


async def test_at_the_deadline_the_sandbox_is_killed(emulate: Emulate) -> None:
    async with emulate(timeout=0.5) as emulator:
        response = await emulator.client.get("/hang")
        assert (response.status_code, response.text) == (502, "Internal Server Error")
        await emulator.log.seen("Task timed out after 0.50 seconds")
        await emulator.log.seen("REPORT", "Status: timeout")
        await emulator.until(lambda all_: all_[0]["state"] == "dead")


async def test_at_the_deadline_a_started_answer_is_cut(emulate: Emulate) -> None:
    async with emulate(timeout=3.0) as emulator:
        response = await emulator.client.send(
            emulator.client.build_request("GET", "/stream"), stream=True
        )
        chunks = response.aiter_raw()
        assert await anext(chunks) == b"one "
        with pytest.raises(httpx.TransportError):
            await anext(chunks)


async def test_an_exit_before_the_first_byte_is_a_502_and_the_next_request_starts_anew(
    emulate: Emulate,
) -> None:
    async with emulate() as emulator:
        assert (await emulator.client.get("/exit")).status_code == 502
        await emulator.log.seen("Runtime exited: exit status 3")
        await emulator.log.seen("REPORT", "Error Type: Runtime.ExitError")
        assert (await emulator.client.get("/pid")).status_code == 200


async def test_an_exit_after_the_first_byte_cuts_the_connection(emulate: Emulate) -> None:
    async with emulate() as emulator, emulator.client.stream("GET", "/exit-late") as response:
        chunks = response.aiter_raw()
        assert await anext(chunks) == b"one "
        (await emulator.gate.expect("one"))()
        with pytest.raises(httpx.TransportError):
            await anext(chunks)
        await emulator.log.seen("Runtime exited: exit status 3")


@pytest.mark.parametrize(
    ("init", "error_type"),
    [("exit", "Runtime.ExitError"), ("error", "Runtime.ImportModuleError")],
)
async def test_a_failed_init_is_reported_and_a_502(
    emulate: Emulate, init: str, error_type: str
) -> None:
    async with emulate(env={"INIT": init}) as emulator:
        assert (await emulator.client.get("/pid")).status_code == 502
        await emulator.log.seen("INIT_REPORT Init Duration: ", f"Error Type: {error_type}")
        await emulator.until(lambda all_: all_[0]["state"] == "dead")


async def test_a_bootstrap_that_cannot_run_is_reported_and_a_502(emulate: Emulate) -> None:
    async with emulate() as emulator:
        (emulator.task_root / "bootstrap").write_text("#!/no/such/interpreter\n")
        assert (await emulator.client.get("/pid")).status_code == 502
        await emulator.log.seen("Runtime exited", "bootstrap")


async def test_an_init_that_takes_too_long_is_killed(
    emulate: Emulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.sandbox.INIT_LIMIT", 0.2)
    async with emulate(env={"INIT": "hang"}, timeout=0.2) as emulator:
        assert (await emulator.client.get("/pid")).status_code == 502
        await emulator.log.seen("INIT_REPORT Init Duration: ", "Status: timeout")


async def test_bytes_that_were_written_before_an_exit_reach_the_client(emulate: Emulate) -> None:
    async with emulate() as emulator:
        assert (await emulator.client.get("/last-words")).text == "one two"
        await emulator.log.seen("Runtime exited: exit status 0")


# Source and environment


async def test_a_source_change_is_a_cold_start_and_busy_sandboxes_finish_first(
    emulate: Emulate,
) -> None:
    async with emulate() as emulator:
        pending = asyncio.create_task(emulator.client.get("/stream"))
        proceed = await emulator.gate.expect("one")
        idle = await emulator.pid()
        (emulator.task_root / "web").mkdir()
        (emulator.task_root / "web" / "page.html").write_text("new")
        fresh = await emulator.pid()
        proceed()
        (await emulator.gate.expect("two"))()
        assert (await pending).text == "one two "
        await emulator.until(lambda all_: [each["pid"] for each in all_[-1:]] == [fresh])
        await emulator.until(lambda all_: sum(each["state"] == "dead" for each in all_) == 2)
        assert idle != fresh
        assert await emulator.pid() == fresh


async def test_compiled_code_is_no_source_change(emulate: Emulate) -> None:
    async with emulate() as emulator:
        pid = await emulator.pid()
        (emulator.task_root / "__pycache__").mkdir()
        (emulator.task_root / "__pycache__" / "runtime.pyc").write_text("")
        assert await emulator.pid() == pid


async def test_the_environment_is_lambdas_and_none_of_this_shells(
    emulate: Emulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "the-developers")
    monkeypatch.setenv("SECRET", "the-developers")
    monkeypatch.setenv("DEMO_TOKENS", "7")
    async with emulate(memory=256, handler="a.b", env={"EXTRA": "1", "LANG": "C"}) as emulator:
        environment = (await emulator.client.get("/environment")).json()
    generated = {name: environment.pop(name) for name in ("AWS_LAMBDA_RUNTIME_API", "GATE")}
    stream = environment.pop("AWS_LAMBDA_LOG_STREAM_NAME")
    assert all(address.startswith("127.0.0.1:") for address in generated.values())
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)
    assert stream.endswith(environment.pop("AWS_SDK_UA_APP_ID"))
    # The shell and the interpreter add these.
    for name in ("PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE", "__CF_USER_TEXT_ENCODING"):
        environment.pop(name, None)
    assert environment == {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_DYNAMODB": emulator.running.dynamodb_url,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python{}.{}".format(*sys.version_info),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_NAME": "StreamFunction",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/StreamFunction",
        "AWS_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": "local",
        "DEMO_TOKENS": "7",
        "EXTRA": "1",
        "HOME": "/nonexistent",
        "LAMBDA_TASK_ROOT": str(emulator.task_root),
        "LANG": "C",
        "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
        "POWERTOOLS_METRICS_DISABLED": "true",
        "PROVIDER": "demo",
        "TABLE_NAME": "StreamTable",
        "TZ": ":UTC",
        "_HANDLER": "a.b",
    }


# Many invocations at once (Lambda Managed Instances)


async def test_with_concurrency_one_process_serves_many_streams_at_once(emulate: Emulate) -> None:
    async with emulate(sandboxes=1, concurrency=3) as emulator:
        pending = [asyncio.create_task(emulator.client.get("/stream")) for _ in range(3)]
        proceed = [await emulator.gate.expect("one") for _ in pending]
        assert [len(each["invocations"]) for each in await emulator.sandboxes()] == [3]
        assert (await emulator.client.get("/pid")).status_code == 429
        for each in proceed:
            each()
        for _ in pending:
            (await emulator.gate.expect("two"))()
        assert [(await response).text for response in pending] == ["one two "] * 3
        environment = (await emulator.client.get("/environment")).json()
        assert environment["AWS_LAMBDA_MAX_CONCURRENCY"] == "3"
        assert environment["AWS_LAMBDA_INITIALIZATION_TYPE"] == "lambda-managed-instances"
        idle = await emulator.sandbox()
        assert (idle["state"], state(idle["pid"])) == ("idle", "S")


async def test_with_concurrency_a_deadline_ends_only_the_invocation(
    emulate: Emulate,
) -> None:
    async with emulate(concurrency=2, timeout=2.0) as emulator:
        assert (await emulator.client.get("/late")).status_code == 502
        (await emulator.gate.expect("hanging"))()
        (await emulator.gate.expect("status 410"))()
        pid = (await emulator.sandbox())["pid"]
        assert await emulator.pid() == pid
