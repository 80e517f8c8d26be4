"""The output of `sam build`, which `sam deploy` uploads and Lambda runs."""

import asyncio
import fcntl
import importlib.util
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

import local
from tests.event_source import EventSource

ROOT = Path(__file__).parents[1]
SAM = ROOT / ".venv-sam/bin"
SRC = ROOT / "src"

MEGABYTE = 10**6
LAMBDA_VERSION = "3.13"

# Top-level modules that Lambda's Python runtime brings, in /var/runtime.
BROUGHT = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")

# The number of a processor in the head of a compiled file (ELF's e_machine).
PROCESSORS = {"aarch64": 0xB7, "x86_64": 0x3E}

pytestmark = [pytest.mark.sam, pytest.mark.timeout(300)]


@pytest.fixture(scope="session")
def lambda_python() -> str:
    """An interpreter of the version that Lambda runs."""
    pyenv = Path.home().glob(f".pyenv/versions/{LAMBDA_VERSION}.*/bin/python")
    candidates = [sys.executable, f"{SAM}/python", f"python{LAMBDA_VERSION}", *map(str, pyenv)]
    for python in filter(None, map(shutil.which, candidates)):
        asked = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        found = subprocess.run(asked, check=False, capture_output=True, text=True)
        if found.stdout.strip() == LAMBDA_VERSION:
            return python
    pytest.skip(f"needs Python {LAMBDA_VERSION}, which is Lambda's")


@pytest.fixture(scope="session")
def package(
    lambda_python: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    """The function as built for the default processor, on a machine that can compile it."""
    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        folder = folder.parent  # which the workers have in common: one of them builds
    package = folder / "build/StreamFunction"
    with (folder / "build.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # `sam build` writes this file last.
        if not package.with_name("template.yaml").exists():
            build(package.parent, lambda_python)
    return package


def build(folder: Path, python: str) -> None:
    environ = {
        **os.environ,
        "PATH": f"{SAM}:{os.environ['PATH']}",
        "PYTHONS": f"{python} python3",
        "SAM_CLI_TELEMETRY": "0",
    }
    command = ["sam", "build", "--no-cached", "--build-dir", str(folder)]
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the modules that Lambda's runtime brings and no others, as /var/runtime is."""
    folder = tmp_path_factory.mktemp("runtime")
    for name in BROUGHT:
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        origin = Path(found.origin)
        place = origin.parent if found.submodule_search_locations else origin
        (folder / place.name).symlink_to(place)
    return folder


def modules(package: Path) -> set[str]:
    """The names that can be imported from the package at its top."""
    entries = {each.name for each in package.iterdir() if not each.name.endswith(".dist-info")}
    return {name.removesuffix(".py") for name in entries - {"__pycache__", "bootstrap"}}


def everything_in(package: Path) -> set[Path]:
    return set(package.rglob("*"))


def test_it_is_small(package: Path, tmp_path: Path) -> None:
    """Lambda's own limits are 50 MB and 250 MB; a cold start reads all of it."""
    files = [path for path in package.rglob("*") if path.is_file()]
    archive = tmp_path / "package.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in files:
            zipped.write(path, path.relative_to(package))

    assert archive.stat().st_size < 25 * MEGABYTE
    assert sum(path.stat().st_size for path in files) < 80 * MEGABYTE


def test_it_brings_nothing_that_the_runtime_brings(package: Path) -> None:
    distributions = {each.name.partition("-")[0] for each in package.glob("*.dist-info")}

    assert not modules(package) & set(BROUGHT)
    assert not distributions & {*BROUGHT, "python_dateutil"}


def test_it_brings_nothing_that_is_not_imported(
    package: Path, runtime: Path, lambda_python: str
) -> None:
    """And needs nothing else: all of it is imported where there is no other place to look."""
    event = json.loads((ROOT / "events/function-url-read.json").read_text())
    event["rawPath"] = event["requestContext"]["http"]["path"] = "/healthz"
    done = subprocess.run(
        [lambda_python, "-S", str(ROOT / "tests/imported.py")],
        check=False,
        env={
            "AWS_DEFAULT_REGION": "eu-west-1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{package}:{runtime}",
            "TABLE_NAME": "StreamTable",
            "_HANDLER": "app.main",
        },
        input=json.dumps(event),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr

    files = [Path(file) for file in json.loads(done.stdout.splitlines()[-1])]
    ours = [file.relative_to(package) for file in files if file.is_relative_to(package)]
    assert {file.parts[0].removesuffix(".py") for file in ours} == modules(package)


def test_it_runs_on_both_processors(package: Path) -> None:
    """`sam deploy` may choose another processor than `sam build` knew of."""
    version = LAMBDA_VERSION.replace(".", "")
    compiled = list(package.rglob("*.so"))
    by_module: dict[str, set[str]] = {}
    for path in compiled:
        module, _, processor = path.name.partition(f".cpython-{version}-")
        by_module.setdefault(module, set()).add(processor.removesuffix("-linux-gnu.so"))
        [machine] = struct.unpack_from("<H", path.read_bytes(), 18)
        assert machine == PROCESSORS[processor.removesuffix("-linux-gnu.so")]

    assert compiled
    assert all(processors == PROCESSORS.keys() for processors in by_module.values())


def test_lambda_may_execute_the_bootstrap(package: Path) -> None:
    assert os.access(package / "bootstrap", os.X_OK)


def test_all_of_it_is_compiled_for_lambdas_python(package: Path, lambda_python: str) -> None:
    """/var/task is read-only: a file that is not compiled here is compiled at each cold start.

    The second word of a compiled file says how it is checked: by hash, and that it is not.
    """
    magic = subprocess.check_output(
        [lambda_python, "-c", "import importlib.util as u; print(u.MAGIC_NUMBER.hex())"], text=True
    )
    head = bytes.fromhex(magic) + struct.pack("<I", 0b01)

    for source in package.rglob("*.py"):
        cached = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        assert cached.read_bytes().startswith(head), source


def test_a_traceback_names_files_as_they_are_on_lambda(package: Path) -> None:
    [main] = (package / "app/__pycache__").glob("main.*.pyc")

    assert b"/var/task/app/main.py" in main.read_bytes()
    assert str(package).encode() not in main.read_bytes()


def test_a_wheel_that_the_lock_does_not_know_is_not_installed(
    lambda_python: str, tmp_path: Path
) -> None:
    """Not even one that is compiled for a processor other than this machine's."""
    shutil.copytree(SRC, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    lock = tmp_path / "src/requirements.txt"
    [core] = re.findall(r"^pydantic-core==\S+", lock.read_text(), re.MULTILINE)
    lock.write_text(f"{core} --hash=sha256:{'0' * 64}\n")

    done = subprocess.run(
        ["make", "build-StreamFunction", f"PYTHONS={lambda_python}"],
        check=False,
        cwd=tmp_path / "src",
        env={**os.environ, "ARTIFACTS_DIR": str(tmp_path / "built")},
        capture_output=True,
        text=True,
    )

    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "built").exists()


@pytest.fixture
def task_root(package: Path, lambda_python: str, tmp_path: Path) -> Path:
    """The package, run by Lambda's Python even if another one runs the tests."""
    for entry in package.iterdir():
        if entry.name != "bootstrap":
            (tmp_path / entry.name).symlink_to(entry)
    bootstrap = tmp_path / "bootstrap"
    bootstrap.write_text(f'#!/bin/sh\nexec "{package}/bootstrap" "{lambda_python}"\n')
    bootstrap.chmod(0o755)
    return tmp_path


@pytest.mark.anyio
async def test_what_was_built_answers_and_is_only_read(
    package: Path, task_root: Path, runtime: Path
) -> None:
    before = everything_in(package)
    options = local.Options(
        port=0,
        task_root=task_root,
        provider="demo",
        env={"DEMO_TOKENS_PER_SECOND": "1000", "PYTHONPATH": str(runtime)},
    )

    async with (
        asyncio.timeout(60),
        local.serve(options, lambda _: None) as running,
        httpx.AsyncClient(base_url=running.url, timeout=30) as http,
    ):
        created = (await http.post("/streams", json={"prompt": "Is it whole?"})).json()
        events = await EventSource(http, created["events_url"]).follow()
        snapshot = (await http.get(created["url"])).json()

    assert events[-1].name == "done"
    text = "".join(each.data["text"] for each in events if each.name == "answer")
    assert text == snapshot["answer"] != ""
    assert everything_in(package) == before
