"""Starts a runtime as a process, as Lambda does."""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.lambda_stream.runtime_api import DEADLINE, RuntimeApi

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent

FUNCTION = {
    "AWS_LAMBDA_FUNCTION_NAME": "f",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f",
    "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/22/[$LATEST]0123456789abcdef",
    "AWS_EXECUTION_ENV": f"AWS_Lambda_python3.{sys.version_info.minor}",
}


class Sandbox:
    """A running runtime."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def line(self) -> str:
        """Return the next line of its output."""
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            return (await self._process.stdout.readline()).decode()

    async def ended(self) -> tuple[int, str]:
        """Wait for its end; return the exit code and the output since the last `line`."""
        async with asyncio.timeout(DEADLINE):
            output, _ = await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode, output.decode()

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()


@asynccontextmanager
async def ours(
    api: RuntimeApi, handler: str, /, root: Path = HERE, **environ: str
) -> AsyncIterator[Sandbox]:
    """Start `src/bootstrap`, as Lambda starts an exec wrapper, with a handler below `root`."""
    command = [str(ROOT / "src/bootstrap"), sys.executable, "/var/runtime/bootstrap.py"]
    async with _started(command, api, handler, root, environ) as sandbox:
        yield sandbox


@asynccontextmanager
async def stock(
    api: RuntimeApi, handler: str, /, root: Path = HERE, **environ: str
) -> AsyncIterator[Sandbox]:
    """Start AWS's own runtime client with the same handler."""
    command = [sys.executable, "-m", "awslambdaric", handler]
    async with _started(command, api, handler, root, environ) as sandbox:
        yield sandbox


@asynccontextmanager
async def _started(
    command: list[str], api: RuntimeApi, handler: str, root: Path, environ: dict[str, str]
) -> AsyncIterator[Sandbox]:
    environ = {
        **FUNCTION,
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{root}:{ROOT}/src",
        "LAMBDA_TASK_ROOT": str(root),
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "_HANDLER": handler,
        **environ,
    }
    process = await asyncio.create_subprocess_exec(
        *command, env=environ, cwd=root, stdout=PIPE, stderr=STDOUT
    )
    sandbox = Sandbox(process)
    try:
        yield sandbox
    finally:
        sandbox.kill()
        await sandbox.ended()
