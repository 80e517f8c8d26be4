"""The processes that are measured."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from local.environment import CREDENTIALS, REGION
from proof.bench.runtime_api import Answer, RuntimeApi

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"

_URL = re.compile(r"http://([\d.]+):(\d+)")
_READ_EVENT: dict[str, Any] = json.loads((ROOT / "events/function-url-read.json").read_text())


@dataclass(frozen=True, slots=True)
class Server:
    """A process that has printed its address."""

    pid: int
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


@contextmanager
def server(command: Sequence[str]) -> Iterator[Server]:
    """A server that prints its URL when it is ready."""
    with _running(command, _base(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if announced := _URL.search(line):
                yield Server(process.pid, announced[1], int(announced[2]))
                return
        raise ChildProcessError(f"{command} ended before it served")


def cpu_seconds(pid: int) -> float:
    """The processor time that the threads of a process have used."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def resident_bytes(pid: int) -> int:
    """The physical memory that a process occupies now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A process that serves a function and has asked for its first invocation.

    Times are `time.perf_counter` seconds.
    """

    pid: int
    started_at: float
    polled_at: float
    api: RuntimeApi

    def get(self, path: str, query: str = "") -> tuple[float, Answer]:
        """GET from the function's URL; return the time of the request, and the whole answer."""
        asked_at = time.perf_counter()
        self.api.invoke(_get(path, query))
        answer = self.api.answer()
        self.api.polled()
        return asked_at, answer

    def get_at_once(self, times: int, path: str, query: str = "") -> list[Answer]:
        """GET as often at the same time; return the whole answers.

        The function must have been given a concurrency of as many.
        """
        for _ in range(times):
            self.api.invoke(_get(path, query))
        return [self.api.answer() for _ in range(times)]


@contextmanager
def sandbox(
    handler: str,
    environ: Mapping[str, str] | None = None,
    *,
    stock: bool = False,
    output: int | TextIO = sys.stderr,
) -> Iterator[Sandbox]:
    """A sandbox under our runtime, or under the stock one: same packages, same environment.

    Its log lines go to `output`.
    """
    if stock:
        command = [sys.executable, "-m", "awslambdaric", handler]
    else:
        command = [str(SRC / "bootstrap"), sys.executable]
    api = RuntimeApi()
    function = {**environ_of(handler), "AWS_LAMBDA_RUNTIME_API": api.address, **(environ or {})}
    with api.serving():
        started_at = time.perf_counter()
        with _running(command, function, stdout=output) as process:
            yield Sandbox(process.pid, started_at, api.polled(), api)


def environ_of(handler: str) -> dict[str, str]:
    """The whole environment of a function, with few variables of our own process."""
    return {
        **_base(),
        **CREDENTIALS,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info[0]}.{sys.version_info[1]}",
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "LAMBDA_TASK_ROOT": str(SRC),
        "_HANDLER": handler,
        "TABLE_NAME": "nowhere",
        "POWERTOOLS_LOG_LEVEL": "ERROR",
        "POWERTOOLS_METRICS_DISABLED": "true",
    }


def _base() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "PYTHONPATH": f"{SRC}:{ROOT / 'tools'}:{ROOT}",
    }


@contextmanager
def _running(
    command: Sequence[str], environ: Mapping[str, str], *, stdout: int | TextIO
) -> Iterator["subprocess.Popen[str]"]:
    """A process with this environment, killed at the end of the block."""
    with subprocess.Popen(
        command,
        env=environ,
        cwd=SRC,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _get(path: str, query: str) -> dict[str, Any]:
    http = _READ_EVENT["requestContext"]["http"] | {"path": path}
    context = _READ_EVENT["requestContext"] | {"http": http}
    return _READ_EVENT | {"rawPath": path, "rawQueryString": query, "requestContext": context}
