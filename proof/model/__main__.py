"""`python -m proof.model`: check the model of the event log, and the need for each of its rules.

Needs Debian's `spin` and `gcc`. The exit status is 0 if every property holds in a search that was
complete, no statement of the model was out of reach, and every rule that is taken away is missed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from proof.model.checks import MUTATIONS, PROPERTIES, Check

_MODEL = Path(__file__).with_name("log.pml")
_DEPTH = 10_000
_SECONDS = 900  # more than any takes on a busy machine; a search that is not over by then fails
_TAIL = 400

_SAFETY = ("-DSAFETY", "-DNOCLAIM")
_FAIR = ("-DNFAIR=3",)  # room for more than six processes
_RULE = re.compile(r"/\* (.+) \*/")
_CLAIM = re.compile(r"^ltl (\w+) .*/\* (.+) \*/", re.MULTILINE)
_CONDITION = re.compile(r"^#(?:el)?if.*", re.MULTILINE)
_SWITCH = re.compile(r"[A-Z_]{2,}")
_STATES = re.compile(r"^ *(\S+) states, stored", re.MULTILINE)
_VIOLATION = re.compile(r"^pan:1: (.+?) \(at depth", re.MULTILINE)
_FAILED_LINE = re.compile(r"log\.pml:(\d+), Error: assertion violated")
_UNREACHED = re.compile(r'^\s*log\.pml:(\d+), state \d+, "(.+)"$', re.MULTILINE)
_INCOMPLETE = (
    "Search not completed",
    "max search depth too small",
    "out of memory",
    "Bit statespace",
)


@dataclass(frozen=True, slots=True, order=True)
class Statement:
    """A statement of the model, on its line; in an inline, for its actual parameters."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a search. `broken` is the rule that it found broken, "" if none was.

    It is `complete` if it saw every state; `states` counts them. `statements` are those that
    it might have executed, and `reached` those that it has.
    """

    check: Check
    states: int
    seconds: float
    broken: str
    complete: bool
    statements: frozenset[Statement]
    reached: frozenset[Statement]

    @property
    def as_expected(self) -> bool:
        """True if all holds or, where a rule is lacking, the property that needs it has broken."""
        return self.broken == self.check.breaks and (self.complete or bool(self.broken))


def search(check: Check, folder: Path) -> Result:
    """Run one search in a folder of its own; raises CalledProcessError if a tool fails."""
    shutil.copy(_MODEL, folder / "log.pml")
    _run(folder, "spin", *check.definitions, "-a", "log.pml")
    # A mutation is quick to search and slow to optimise.
    level = "-O0" if check.lacks else "-O1"
    _run(folder, "gcc", level, "-w", *(_FAIR if check.claim else _SAFETY), "-o", "pan", "pan.c")
    begun = time.monotonic()
    fair = ("-a", "-f", "-N", check.claim) if check.claim else ()
    found = _run(folder, "./pan", f"-m{_DEPTH}", *fair)
    seconds = time.monotonic() - begun
    states = _STATES.search(found)
    if states is None:
        raise ValueError(f"{check.name}: pan said nothing of states:\n{found[-_TAIL:]}")
    violation = _VIOLATION.search(found)
    # At depth 1 pan names all there is to reach.
    statements = _unreached(_run(folder, "./pan", "-m1", *fair))
    return Result(
        check=check,
        states=int(float(states[1])),
        seconds=seconds,
        broken=_broken(check, folder, violation[1]) if violation else "",
        complete="errors: 0" in found and not any(each in found for each in _INCOMPLETE),
        statements=frozenset(statements),
        reached=frozenset(statements - _unreached(found)),
    )


def trail(check: Check, folder: Path) -> str:
    """The steps to the fault that a search has left in its folder."""
    return _run(folder, "spin", *check.definitions, "-t", "-p", "log.pml")


def _broken(check: Check, folder: Path, violation: str) -> str:
    """The rule in the model's own words, beside the assertion or the claim that failed.

    Otherwise, of a deadlock for example, pan's own words.
    """
    if check.claim and violation == "acceptance cycle":
        rules: dict[str, str] = dict(_CLAIM.findall(_MODEL.read_text()))
        return rules[check.claim]
    if not violation.startswith("assertion violated"):
        return violation
    failed = _FAILED_LINE.search(_run(folder, "spin", *check.definitions, "-t", "log.pml"))
    if failed is None:
        raise ValueError(f"{check.name}: {violation}, which no assertion of the model says")
    rule = _RULE.search(_MODEL.read_text().splitlines()[int(failed[1]) - 1])
    assert rule is not None, f"line {failed[1]} of the model asserts a rule without a name"
    return rule[1]


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=folder, check=False, capture_output=True, text=True, timeout=_SECONDS
    )
    if done.returncode:
        sys.stderr.write(done.stdout[-_TAIL:] + done.stderr[-_TAIL:])
        done.check_returncode()
    return done.stdout


def _unreached(found: str) -> Counter[Statement]:
    """The copies of each statement that a search did not reach, without ends of processes."""
    return Counter(
        Statement(int(line), text) for line, text in _UNREACHED.findall(found) if text != "-end-"
    )


def _row(result: Result) -> str:
    verdict = "ok" if result.as_expected else "FAULT"
    if result.check.lacks:
        what = f"breaks: {result.broken}" if result.broken else "NOT MISSED"
        what += "" if result.as_expected else f", but should break: {result.check.breaks}"
    else:
        what = f"BROKEN: {result.broken}" if result.broken else "holds"
        what += "" if result.complete or result.broken else ", but the search is INCOMPLETE"
    check = result.check
    return f"{verdict:6}{check.name:36}{result.states:>9,}{result.seconds:7.1f} s  {what}"


def _search_in_new_folder(check: Check) -> Result:
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        result = search(check, Path(folder))
    print(_row(result), flush=True)
    return result


def _show_trails(lacks: str) -> int:
    for check in (each for each in MUTATIONS if each.lacks == lacks):
        with tempfile.TemporaryDirectory(prefix="proof-") as folder:
            result = search(check, Path(folder))
            print(trail(check, Path(folder)))
        print(_row(result))
    return 0


def _unknown() -> set[str]:
    """Definitions of checks that the model never asks for: they would check something else."""
    asked = set(_SWITCH.findall("".join(_CONDITION.findall(_MODEL.read_text()))))
    defined = " ".join(f"{each.sizes} {each.lacks}" for each in (*PROPERTIES, *MUTATIONS))
    return {each.partition("=")[0] for each in defined.split()} - asked


def main() -> int:
    """Search for every property and every mutation, and print the findings."""
    parser = argparse.ArgumentParser(prog="python -m proof.model", description=__doc__)
    parser.add_argument(
        "--trail",
        choices=sorted({each.lacks for each in MUTATIONS}),
        help="show step by step what happens without this rule",
    )
    lacks: str | None = parser.parse_args().trail
    for tool in ("spin", "gcc"):
        if shutil.which(tool) is None:
            print(f"{tool} is not installed (Debian: apt-get install spin gcc)", file=sys.stderr)
            return 2
    if unknown := _unknown():
        print(f"log.pml never asks for {sorted(unknown)}", file=sys.stderr)
        return 2
    if lacks is not None:
        return _show_trails(lacks)
    begun = time.monotonic()
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        results = list(pool.map(_search_in_new_folder, (*PROPERTIES, *MUTATIONS)))
    whole = [each for each in results if not each.check.lacks]
    reached = frozenset[Statement]().union(*(each.reached for each in whole))
    dead = frozenset[Statement]().union(*(each.statements for each in whole)) - reached
    for each in sorted(dead):
        print(f"FAULT no search ever came to log.pml:{each.line}: {each.text}")
    faults = sum(not each.as_expected for each in results) + bool(dead)
    print(f"{len(results)} searches, {faults} faults, {time.monotonic() - begun:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
