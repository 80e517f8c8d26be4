"""The promises of tests/plugin.py to tests that measure time, and to those that share much."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.plugin import ROOT, TOGETHER

pytestmark = pytest.mark.prove

# Each test writes down when it begins and when it ends; both kinds meet in both workers.
TURNS = """
import time
from pathlib import Path
import pytest

def told(name):
    for verb in ("begins", "ends"):
        with Path("journal").open("a") as journal:
            journal.write(f"{name} {verb}\\n")
        time.sleep(0.05)

@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("name", ["any", pytest.param("alone", marks=pytest.mark.alone)])
def test_it(name, number):
    told(name)
"""
SHARED = """
import os
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(12))
def test_it(number):
    with Path("workers").open("a") as workers:
        workers.write(f"{__file__} {os.environ['PYTEST_XDIST_WORKER']}\\n")
"""


def run_by_two_workers(folder: Path, modules: Mapping[str, str]) -> None:
    for name, source in modules.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source)
    (folder / "conftest.py").write_text((ROOT / "tests/plugin.py").read_text())
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = alone\n")
    subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "xdist", "--numprocesses", "2"],
        cwd=folder,
        env={
            **os.environ,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(ROOT / "src"),
        },
        check=True,
        capture_output=True,
        timeout=100,
    )


def test_a_test_that_measures_time_runs_while_no_other_worker_does(tmp_path: Path) -> None:
    run_by_two_workers(tmp_path, {"test_it.py": TURNS})

    journal = (tmp_path / "journal").read_text().splitlines()
    begun = [place for place, line in enumerate(journal) if line == "alone begins"]
    assert len(begun) == 12
    assert {journal[place + 1] for place in begun} == {"alone ends"}
    assert "any ends" in journal


def test_a_module_whose_tests_share_much_is_run_by_one_worker(tmp_path: Path) -> None:
    run_by_two_workers(tmp_path, dict.fromkeys(TOGETHER, SHARED))

    assert all((ROOT / module).exists() for module in TOGETHER)
    runs = (tmp_path / "workers").read_text().splitlines()
    assert len(runs) == 12 * len(TOGETHER)
    assert len(set(runs)) == len(TOGETHER)
    assert len({run.split()[1] for run in runs}) == 2
