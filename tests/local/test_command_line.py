import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from local.options import PROJECT, parse
from tests.local.conftest import Gate
from tests.local.processes import PATIENCE, descendants, until_gone
from tests.ports import refusing_port

pytestmark = pytest.mark.anyio

COMMAND = [sys.executable, "-m", "local", "--port", "0", "--provider", "demo"]


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str, str]]:
    """Start the emulator; yield its process, its URL and its output up to the summary's end."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, cwd=PROJECT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            output = (await process.stdout.readuntil(b"Ctrl-C stops everything.\n")).decode()
        yield process, output.split("page")[1].split()[0], output
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_the_emulator_leaves_no_process_after_any_signal(
    task_root: Path, number: signal.Signals
) -> None:
    async with running("--task-root", str(task_root)) as (process, url, _):
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
            sandbox = (await client.get(f"{url}pid")).json()
        below = descendants(process.pid)
        assert sandbox in below
        process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            status = await process.wait()
        await until_gone(below)
    assert status == (-signal.SIGKILL if number == signal.SIGKILL else 0)


async def test_the_summary_names_every_setting_and_address(
    task_root: Path, dynamodb_url: str
) -> None:
    arguments = ["--task-root", str(task_root), "--dynamodb-url", dynamodb_url, "--timeout", "7"]
    async with running(*arguments) as (_, url, output):
        names = [line.split()[0] for line in output.splitlines()]
        assert names == [
            "page",
            "control",
            "dynamodb",
            "function",
            "provider",
            "limits",
            "Ctrl-C",
        ]
        assert f"{url}_local" in output
        assert f"{dynamodb_url} (given), table StreamTable" in output
        assert "7.0 s" in output


def error_of(*arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "local", *arguments],
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert result.returncode == 1
    return result.stderr


def test_a_busy_port_is_one_line_that_says_what_to_do(task_root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = error_of("--port", str(port), "--task-root", str(task_root))
    assert error == (
        f"python -m local: port {port} is in use: stop the process that listens there, "
        "or choose another port with --port (0 picks any free one)\n"
    )


def test_an_invalid_port_is_named_in_the_error(task_root: Path) -> None:
    assert "cannot listen on 127.0.0.1:70000" in error_of(
        "--port", "70000", "--task-root", str(task_root)
    )


def test_a_task_root_without_a_bootstrap_is_named_in_the_error(tmp_path: Path) -> None:
    assert f"{tmp_path}/bootstrap is not an executable file" in error_of(
        "--port", "0", "--task-root", str(tmp_path)
    )


def test_an_unreachable_dynamodb_is_named_in_the_error(task_root: Path) -> None:
    with refusing_port() as port:
        url = f"http://127.0.0.1:{port}"
        error = error_of("--port", "0", "--task-root", str(task_root), "--dynamodb-url", url)
    assert f"the table StreamTable cannot be made at {url}" in error


@pytest.mark.access
def test_a_setting_that_the_function_refuses_is_an_error_of_one_line_at_the_start() -> None:
    """Otherwise the page shows an Internal Server Error, far from its reason in the terminal."""
    short = 'API_TOKENS={"default":"too-short"}'
    assert error_of("--port", "0", "--provider", "demo", "--env", short) == (
        "python -m local: the function does not start: a token of default in API_TOKENS is too "
        "short: make one of at least 32 characters with `openssl rand -hex 32`\n"
    )


@pytest.mark.parametrize(
    ("init", "reason"), [("error", "no module"), ("exit", "Runtime exited: exit status 4")]
)
async def test_a_function_that_cannot_start_is_an_error_with_its_output(
    task_root: Path, dynamodb_url: str, init: str, reason: str
) -> None:
    gate = Gate()
    async with gate.open():
        arguments = ["--task-root", str(task_root), "--dynamodb-url", dynamodb_url]
        env = ["--env", f"INIT={init}", "--env", f"GATE={gate.address}"]
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *arguments,
            *env,
            cwd=PROJECT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE):
            output, error = await process.communicate()
    assert process.returncode == 1
    assert error.decode() == f"python -m local: the function does not start: {reason}\n"
    assert b"sandbox-1 | INIT_REPORT" in output


async def test_the_first_request_finds_a_warm_sandbox(task_root: Path, dynamodb_url: str) -> None:
    arguments = ["--task-root", str(task_root), "--dynamodb-url", dynamodb_url]
    async with (
        running(*arguments) as (_, url, _),
        httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client,
    ):
        (sandbox,) = (await client.get(f"{url}_local/sandboxes")).json()
        assert sandbox["state"] == "idle"
        assert (await client.get(f"{url}pid")).json() == sandbox["pid"]


def test_variables_may_be_given_more_than_once() -> None:
    assert parse(["--env", "A=1", "--env", "B=x=y"]).env == {"A": "1", "B": "x=y"}


@pytest.mark.parametrize("arguments", [["--env", "A"], ["--env", "=1"], ["--sandboxes", "0"]])
def test_invalid_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
