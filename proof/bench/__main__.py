"""`python -m proof.bench`: the template's speed, as ratios within one run.

Every number is the median of several runs, taken in turns with the runs of its comparison. Next to
it stand the quartiles: half of all runs lie between them. The exit status is 1 if a limit was
missed. Nothing here is a test: on a busy machine, run it again.

The tables are Markdown, for README: the last column says which numbers are this machine's.
"""

import argparse
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from proof.bench import (
    append,
    cold_start,
    durability,
    failures,
    imports,
    many_streams,
    observability,
    providers,
    rendering,
    replay,
    snapstart,
    streaming,
)
from proof.bench.table import render

_SECTIONS = {
    "streaming": streaming,
    "cold-start": cold_start,
    "snapstart": snapstart,
    "imports": imports,
    "append": append,
    "durability": durability,
    "many-streams": many_streams,
    "failures": failures,
    "replay": replay,
    "providers": providers,
    "observability": observability,
    "rendering": rendering,
}
_PACKAGES = ("fastapi", "starlette", "pydantic", "mangum", "boto3", "awslambdaric", "uvicorn")


def main() -> int:
    """Measure and print section by section."""
    parser = argparse.ArgumentParser(prog="python -m proof.bench", description=__doc__)
    parser.add_argument(
        "--only", choices=_SECTIONS, action="append", help="measure this alone; may be repeated"
    )
    chosen: list[str] = parser.parse_args().only or list(_SECTIONS)
    print(_machine(), flush=True)
    missed = False
    for name in chosen:
        section = _SECTIONS[name]
        rows = list(section.rows())
        missed |= any(row.missed for row in rows)
        print(f"\n{render(section.TITLE, rows)}", flush=True)
    return int(missed)


def _machine() -> str:
    """The machine behind the numbers, and how busy it was."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(": ")[2] for line in cpuinfo if line.startswith("model name")]
    processor = models[0] if models else platform.machine()
    versions = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    return (
        f"{os.cpu_count()} x {processor}, load {os.getloadavg()[0]:.1f}, {platform.platform()}, "
        f"CPython {platform.python_version()}, {datetime.now(UTC):%d %B %Y}\n"
        f"{versions}"
    )


if __name__ == "__main__":
    sys.exit(main())
