"""Examples are modules of their own: each can be imported first, in any process."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("module", ["app.task", "examples.plain", "examples.job", "examples.tools"])
def test_a_module_can_be_imported_first(module: str) -> None:
    environ = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}

    done = subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        check=False,
        env=environ,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
