"""How tests run, those of the application and those of proof; each conftest.py registers this.

A test that needs more than Python carries a marker (`axe`, `chromium`, `clients`, `docker`,
`dynamodb_local`, `examples`, `peers`, `sam`) and is skipped where that is missing. With `CI=true` a
skip is a failure: CI installs everything, so a skip there means that a rule went unproven.

`make test` takes a few minutes and needs nothing but Python; `make prove` runs the tests marked
`prove`. Those are all tests of proof, of the engine, of the runtime and of the flows, all with one
of the markers above or with `alone`, and the slow ones that are marked by hand.

While a test that carries `alone` runs, because it measures time, no other worker of pytest-xdist
runs a test. A module in TOGETHER is run by one worker: its tests share something that only one
worker may start, or that is slow to start.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from app.providers import PROVIDERS

ROOT = Path(__file__).parents[1]

# Folders and modules whose tests are all for `make prove`.
PROVEN = (
    ROOT / "proof",
    ROOT / "tests/durable_stream",
    ROOT / "tests/flows",
    ROOT / "tests/lambda_stream",
    ROOT / "tests/probe/test_probe.py",
)

# Processes that tests start find the tools as this one does.
os.environ["PYTHONPATH"] = str(ROOT / "tools")


def _docker_runs() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "info"], check=False, capture_output=True).returncode == 0


def _dynamodb_local_runs() -> bool:
    return shutil.which("java") is not None and (ROOT / ".dynamodb-local/.installed").exists()


# A test that carries the name of an optional part needs it, and goes with it; likewise one that
# carries the name of a provider, as in `provider("openai")`.
PARTS = ("access", "limits")
_PROVIDERS = {provider.name for provider in PROVIDERS}

NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "axe": (
        (ROOT / ".javascript/axe-core/axe.min.js").exists,
        "axe-core (make check, which needs npm)",
    ),
    "chromium": (
        lambda: shutil.which("chromium") is not None,
        "chromium on PATH (Debian: apt-get install chromium)",
    ),
    "clients": (
        (ROOT / ".clients/.installed").exists,
        "Node and other people's clients (make clients)",
    ),
    "docker": (_docker_runs, "a Docker engine that answers"),
    "dynamodb_local": (_dynamodb_local_runs, "Java 17, and DynamoDB Local (make dynamodb)"),
    "examples": (
        (ROOT / ".venv-examples/.installed").exists,
        "agent frameworks (make examples)",
    ),
    "peers": ((ROOT / ".venv-peers/.installed").exists, "other people's servers (make peers)"),
    "sam": ((ROOT / ".venv-sam/.installed").exists, "the SAM CLI (make sam)"),
}


# The modules that one worker runs. (pytest-xdist has a marker for this, which does
# nothing with pytest 9.2: pytest-xdist#1386.)
TOGETHER = {
    "tests/app/models/bedrock/test_ministack.py",
    "tests/app/models/http/test_litellm.py",
    "tests/flows/test_deployment.py",
    "tests/flows/test_sam_local.py",
    "tests/test_template.py",
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out TOGETHER module by module first, then all other tests one by one."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if module in TOGETHER else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Take turns with the other workers: shared with tests that may run beside this one."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    folder = Path(item.config.option.basetemp).parent
    alone = item.get_closest_marker("alone") is not None
    with (folder / "running.lock").open("a") as running:
        # A worker that waits to be alone holds the door: no other test begins meanwhile.
        with (folder / "door.lock").open("a") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of `make prove`, and drop those of parts that are deleted."""
    for item in items:
        proven = any(map(item.path.is_relative_to, PROVEN))
        if proven or any(map(item.get_closest_marker, (*NEEDS, "alone"))):
            item.add_marker("prove")
    left_out = [item for item in items if not _has_its_parts(item)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def _has_its_parts(item: pytest.Item) -> bool:
    gone = [part for part in PARTS if not (ROOT / "src/app" / part).exists()]
    providers = {str(marker.args[0]) for marker in item.iter_markers("provider")}
    return not any(map(item.get_closest_marker, gone)) and providers <= _PROVIDERS


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
