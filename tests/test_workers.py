"""The promise of tests/conftest.py to a test that measures time."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

# Each test writes down when it begins and when it ends; both kinds meet in both workers.
MODULE = """
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


def test_a_test_that_measures_time_runs_while_no_other_worker_does(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(MODULE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = alone\n")

    subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "xdist", "--numprocesses", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        check=True,
        capture_output=True,
        timeout=50,
    )

    journal = (tmp_path / "journal").read_text().splitlines()
    begun = [place for place, line in enumerate(journal) if line == "alone begins"]
    assert len(begun) == 12
    assert {journal[place + 1] for place in begun} == {"alone ends"}
    assert "any ends" in journal
