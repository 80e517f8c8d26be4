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


async def test_a_warm_sandbox_is_used_again_however_soon(emulate: Emulate) -> None:
    async with emulate() as emulated:
        assert len({await emulated.pid() for _ in range(20)}) == 1


async def test_a_sandbox_that_lingers_after_its_answer_is_not_waited_for(
    emulate: Emulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.pool.TURNAROUND", TURNAROUND)
    async with emulate() as emulated:
        lingering = (await emulated.client.get("/linger")).json()
        assert await emulated.pid() != lingering


async def test_the_sandbox_used_last_is_used_first(emulate: Emulate) -> None:
    async with emulate() as emulated:
        held = asyncio.create_task(emulated.client.get("/stream"))
        let_on = await emulated.gate.expect("one")
        other = await emulated.pid()
        let_on()
        (await emulated.gate.expect("two"))()
        await held
        await emulated.until(lambda all_: {each["state"] for each in all_} == {"idle"})
        assert await emulated.pid() != other


async def test_an_idle_sandbox_is_frozen_and_thaws_for_the_next_event(emulate: Emulate) -> None:
    async with emulate() as emulated:
        pid = await emulated.pid()
        await until_stopped(pid)
        assert await emulated.pid() == pid


async def test_a_sandbox_is_busy_until_it_asks_for_more_work(emulate: Emulate) -> None:
    async with emulate() as emulated:
        pid = (await emulated.client.get("/linger")).json()
        let_on = await emulated.gate.expect("lingering")
        assert (await emulated.sandbox())["state"] == "busy"
        assert state(pid) != "T"
        let_on()
        await until_stopped(pid)
        assert (await emulated.sandbox())["state"] == "idle"


async def test_the_log_has_the_sandboxs_lines_and_lambdas(emulate: Emulate) -> None:
    async with emulate(memory=256) as emulated:
        request_id = (await emulated.client.get("/pid")).headers["x-amzn-requestid"]
        await emulated.log.seen("sandbox-1 | runtime starts")
        await emulated.log.seen(f"sandbox-1 | START RequestId: {request_id} Version: $LATEST")
        await emulated.log.seen(f"sandbox-1 | END RequestId: {request_id}")
        report = await emulated.log.seen(f"sandbox-1 | REPORT RequestId: {request_id}\tDuration: ")
        assert "\tMemory Size: 256 MB\t" in report
        assert "\tInit Duration: " in report
        again = (await emulated.client.get("/pid")).headers["x-amzn-requestid"]
        assert "Init Duration" not in await emulated.log.seen(f"REPORT RequestId: {again}")


async def test_a_sandbox_that_idles_too_long_is_shut_down(emulate: Emulate) -> None:
    async with emulate(keep_warm=0.05) as emulated:
        await emulated.pid()
        await emulated.until(lambda all_: all_[0]["state"] == "dead")
        assert not [line for line in emulated.log.lines if "Error" in line]


# Ends


async def test_at_the_deadline_the_sandbox_is_killed(emulate: Emulate) -> None:
    async with emulate(timeout=0.5) as emulated:
        response = await emulated.client.get("/hang")
        assert (response.status_code, response.text) == (502, "Internal Server Error")
        await emulated.log.seen("Task timed out after 0.50 seconds")
        await emulated.log.seen("REPORT", "Status: timeout")
        await emulated.until(lambda all_: all_[0]["state"] == "dead")


async def test_at_the_deadline_an_answer_under_way_is_cut(emulate: Emulate) -> None:
    async with emulate(timeout=3.0) as emulated:
        response = await emulated.client.send(
            emulated.client.build_request("GET", "/stream"), stream=True
        )
        chunks = response.aiter_raw()
        assert await anext(chunks) == b"one "
        with pytest.raises(httpx.TransportError):
            await anext(chunks)


async def test_an_exit_before_the_first_byte_is_a_502_and_the_next_request_starts_anew(
    emulate: Emulate,
) -> None:
    async with emulate() as emulated:
        assert (await emulated.client.get("/exit")).status_code == 502
        await emulated.log.seen("Runtime exited: exit status 3")
        await emulated.log.seen("REPORT", "Error Type: Runtime.ExitError")
        assert (await emulated.client.get("/pid")).status_code == 200


async def test_an_exit_after_the_first_byte_cuts_the_connection(emulate: Emulate) -> None:
    async with emulate() as emulated, emulated.client.stream("GET", "/exit-late") as response:
        chunks = response.aiter_raw()
        assert await anext(chunks) == b"one "
        (await emulated.gate.expect("one"))()
        with pytest.raises(httpx.TransportError):
            await anext(chunks)
        await emulated.log.seen("Runtime exited: exit status 3")


@pytest.mark.parametrize(
    ("init", "error_type"),
    [("exit", "Runtime.ExitError"), ("error", "Runtime.ImportModuleError")],
)
async def test_a_failed_init_is_reported_and_a_502(
    emulate: Emulate, init: str, error_type: str
) -> None:
    async with emulate(env={"INIT": init}) as emulated:
        assert (await emulated.client.get("/pid")).status_code == 502
        await emulated.log.seen("INIT_REPORT Init Duration: ", f"Error Type: {error_type}")
        await emulated.until(lambda all_: all_[0]["state"] == "dead")


async def test_a_bootstrap_that_cannot_run_is_reported_and_a_502(emulate: Emulate) -> None:
    async with emulate() as emulated:
        (emulated.task_root / "bootstrap").write_text("#!/no/such/interpreter\n")
        assert (await emulated.client.get("/pid")).status_code == 502
        await emulated.log.seen("Runtime exited", "bootstrap")


async def test_an_init_that_takes_too_long_is_killed(
    emulate: Emulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.sandbox.INIT_LIMIT", 0.2)
    async with emulate(env={"INIT": "hang"}, timeout=0.2) as emulated:
        assert (await emulated.client.get("/pid")).status_code == 502
        await emulated.log.seen("INIT_REPORT Init Duration: ", "Status: timeout")


async def test_bytes_that_were_written_before_an_exit_reach_the_client(emulate: Emulate) -> None:
    async with emulate() as emulated:
        assert (await emulated.client.get("/last-words")).text == "one two"
        await emulated.log.seen("Runtime exited: exit status 0")


# What it runs, and in what environment


async def test_a_source_change_is_a_cold_start_and_busy_sandboxes_finish_first(
    emulate: Emulate,
) -> None:
    async with emulate() as emulated:
        held = asyncio.create_task(emulated.client.get("/stream"))
        let_on = await emulated.gate.expect("one")
        idle = await emulated.pid()
        (emulated.task_root / "web").mkdir()
        (emulated.task_root / "web" / "page.html").write_text("new")
        fresh = await emulated.pid()
        let_on()
        (await emulated.gate.expect("two"))()
        assert (await held).text == "one two "
        await emulated.until(lambda all_: [each["pid"] for each in all_[-1:]] == [fresh])
        await emulated.until(lambda all_: sum(each["state"] == "dead" for each in all_) == 2)
        assert idle != fresh
        assert await emulated.pid() == fresh


async def test_compiled_code_is_no_source_change(emulate: Emulate) -> None:
    async with emulate() as emulated:
        pid = await emulated.pid()
        (emulated.task_root / "__pycache__").mkdir()
        (emulated.task_root / "__pycache__" / "runtime.pyc").write_text("")
        assert await emulated.pid() == pid


async def test_the_environment_is_lambdas_and_none_of_this_shells(
    emulate: Emulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "the-developers")
    monkeypatch.setenv("SECRET", "the-developers")
    monkeypatch.setenv("DEMO_TOKENS", "7")
    async with emulate(memory=256, handler="a.b", env={"EXTRA": "1", "LANG": "C"}) as emulated:
        environment = (await emulated.client.get("/environment")).json()
    generated = {name: environment.pop(name) for name in ("AWS_LAMBDA_RUNTIME_API", "GATE")}
    stream = environment.pop("AWS_LAMBDA_LOG_STREAM_NAME")
    assert all(address.startswith("127.0.0.1:") for address in generated.values())
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)
    # These the shell and the interpreter add by themselves.
    for name in ("PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE", "__CF_USER_TEXT_ENCODING"):
        environment.pop(name, None)
    assert environment == {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_DYNAMODB": emulated.running.dynamodb_url,
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
        "LAMBDA_TASK_ROOT": str(emulated.task_root),
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
    async with emulate(sandboxes=1, concurrency=3) as emulated:
        held = [asyncio.create_task(emulated.client.get("/stream")) for _ in range(3)]
        let_on = [await emulated.gate.expect("one") for _ in held]
        assert [len(each["invocations"]) for each in await emulated.sandboxes()] == [3]
        assert (await emulated.client.get("/pid")).status_code == 429
        for each in let_on:
            each()
        for _ in held:
            (await emulated.gate.expect("two"))()
        assert [(await response).text for response in held] == ["one two "] * 3
        environment = (await emulated.client.get("/environment")).json()
        assert environment["AWS_LAMBDA_MAX_CONCURRENCY"] == "3"
        assert environment["AWS_LAMBDA_INITIALIZATION_TYPE"] == "lambda-managed-instances"
        idle = await emulated.sandbox()
        assert (idle["state"], state(idle["pid"])) == ("idle", "S")


async def test_with_concurrency_a_deadline_ends_the_invocation_only_and_its_answer_is_gone(
    emulate: Emulate,
) -> None:
    async with emulate(concurrency=2, timeout=2.0) as emulated:
        assert (await emulated.client.get("/late")).status_code == 502
        (await emulated.gate.expect("hanging"))()
        (await emulated.gate.expect("status 410"))()
        pid = (await emulated.sandbox())["pid"]
        assert await emulated.pid() == pid
