"""`src/bootstrap`, with a stand-in for Python that prints how it was called."""

import subprocess
from pathlib import Path

import pytest

BOOTSTRAP = Path(__file__).parents[2] / "src/bootstrap"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    python = tmp_path / "lang/python3.13"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$PWD" "$PYTHONPATH" "$*"\n')
    python.chmod(0o755)
    return python


def call(python: Path, **environ: str) -> list[str]:
    """Return the working directory, path and arguments that this Python gets."""
    command = [str(BOOTSTRAP), str(python), "/var/runtime/bootstrap.py"]
    environ = {"PATH": "/usr/bin:/bin", **environ}
    ran = subprocess.run(command, env=environ, capture_output=True, check=True, text=True)
    return ran.stdout.splitlines()


def test_the_functions_packages_come_before_the_layers_and_those_before_the_runtimes(
    python: Path, tmp_path: Path
) -> None:
    root = tmp_path / "my task"
    root.mkdir()

    directory, path, arguments = call(python, LAMBDA_TASK_ROOT=str(root))

    assert directory == str(root)
    layers = "/opt/python/lib/python3.13/site-packages:/opt/python"
    assert path == f"{root}:{layers}:/var/runtime"
    assert arguments == "-m lambda_stream"


def test_an_existing_pythonpath_comes_last(python: Path, tmp_path: Path) -> None:
    _, path, _ = call(python, LAMBDA_TASK_ROOT=str(tmp_path), PYTHONPATH="/mine")

    assert path.endswith(":/var/runtime:/mine")


def test_the_bootstraps_own_directory_is_the_default_task_root(python: Path) -> None:
    directory, path, _ = call(python)

    assert directory == str(BOOTSTRAP.parent)
    assert path.startswith(f"{BOOTSTRAP.parent}:")


def test_the_bootstrap_without_arguments_starts_the_stock_one(tmp_path: Path) -> None:
    """`sam local` starts it so. Only the stock bootstrap knows which Python to run."""
    stock = tmp_path / "bootstrap"
    stock.write_text("#!/bin/sh\necho stock $#\n")
    stock.chmod(0o755)
    environ = {"PATH": "/usr/bin:/bin", "LAMBDA_RUNTIME_DIR": str(tmp_path)}

    ran = subprocess.run([BOOTSTRAP], env=environ, capture_output=True, check=True, text=True)

    assert ran.stdout == "stock 0\n"
