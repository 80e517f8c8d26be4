"""What every test shares: the event loop, what a marker needs, and no silent skips in CI.

A test that needs more than Python carries a marker (`chromium`, `docker`, `dynamodb_local`,
`peers`, `sam`) and is skipped where that is missing. With `CI=true` a skip is a failure: CI
installs everything, so a skip there means that a rule went unproven.

A test that measures time carries `alone`: while it runs, no other worker of pytest-xdist does.
What only one worker may start, or what takes long to start, is started by one: see TOGETHER.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.stack import Stack, transformed

ROOT = Path(__file__).parents[1]

# Processes that tests start find the tools as this one does.
os.environ["PYTHONPATH"] = str(ROOT / "tools")


def _docker_runs() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "info"], check=False, capture_output=True).returncode == 0


def _dynamodb_local_runs() -> bool:
    return shutil.which("java") is not None and (ROOT / ".dynamodb-local/.installed").exists()


NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "chromium": (
        lambda: shutil.which("chromium") is not None,
        "chromium on PATH (Debian: apt-get install chromium)",
    ),
    "docker": (_docker_runs, "a Docker engine that answers"),
    "dynamodb_local": (_dynamodb_local_runs, "Java 17, and DynamoDB Local (make dynamodb)"),
    "peers": ((ROOT / ".venv-peers/.installed").exists, "other people's servers (make peers)"),
    "sam": ((ROOT / ".venv-sam/.installed").exists, "the SAM CLI (make sam)"),
}


# Modules whose tests share something of the kind. (pytest-xdist has a marker for this, which does
# nothing with pytest 9.2: pytest-xdist#1386.)
TOGETHER = {
    "tests/app/models/bedrock/test_ministack.py",
    "tests/app/models/test_litellm.py",
    "tests/flows/test_deployment.py",
    "tests/flows/test_sam_local.py",
    "tests/test_template.py",
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The stack of template.yaml with the default parameters; for tests marked `sam`."""
    return transformed()


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hands the workers test by test, and TOGETHER module by module, which come first."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if module in TOGETHER else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Take turns with the other workers: shared with whoever may run beside this test."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    folder = Path(item.config.option.basetemp).parent
    alone = item.get_closest_marker("alone") is not None
    with (folder / "running.lock").open("a") as running:
        # Who waits to be alone waits inside the door: nobody else begins meanwhile.
        with (folder / "door.lock").open("a") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, (present, what) in NEEDS.items():
        if item.get_closest_marker(marker) and not present():
            pytest.skip(f"needs {what}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _forbid_skip(report)
    return report


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        report.outcome = "failed"
        report.longrepr = f"CI skips nothing, but this was: {reason}"
