"""Examples that import a framework are as strictly typed as the rest."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.killing import EXAMPLES_PYTHON, ROOT

FILES = [
    *(ROOT / "examples").glob("*_agent.py"),
    *Path(__file__).parent.glob("agents/*.py"),
]


@pytest.mark.examples
def test_examples_of_frameworks_pass_mypy() -> None:
    command = [sys.executable, "-m", "mypy", "--python-executable", str(EXAMPLES_PYTHON)]

    done = subprocess.run(
        [*command, *map(str, FILES)], check=False, cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
