"""`python -m proof`: check the model of the event log, and that each of its rules is needed.

Needs Debian's `spin` and `gcc`. The exit status is 0 if every property holds in a search that was
complete, no line of the model was out of reach, and every rule that is taken away is missed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

_MODEL = Path(__file__).with_name("log.pml")
_DEPTH = 10_000
_SECONDS = 300  # more than any run takes; a search that is not over by then has not held
_TAIL = 400

_SAFETY = ("-DSAFETY", "-DNOCLAIM")
_RULE = re.compile(r"/\* (.+) \*/")
_STATES = re.compile(r"^ *(\S+) states, stored", re.MULTILINE)
_VIOLATION = re.compile(r"^pan:1: (.+?) \(at depth", re.MULTILINE)
_FAILED_LINE = re.compile(r"log\.pml:(\d+), Error: assertion violated")
_PROCESS = re.compile(r"proctype (\w+)")
_STATE = re.compile(r"^\s*state +(\d+) -.*log\.pml:(\d+) =>")
_UNREACHED = re.compile(r"^\s*log\.pml:(\d+), state (\d+), ")
_INCOMPLETE = (
    "Search not completed",
    "max search depth too small",
    "out of memory",
    "Bit statespace",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One search: the model with these definitions, for a claim or else for all its assertions.

    `lacks` is the rule that is taken away; the search must then find a fault.
    """

    name: str
    definitions: str
    claim: str = ""
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a search came to. `broken` is the rule it found broken, "" if none was.

    XX
    """

    check: Check
    states: int
    seconds: float
    broken: str
    complete: bool
    lines: frozenset[int]
    reached: frozenset[int]

    @property
    def as_expected(self) -> bool:
        """Whether the rules hold, and are missed where one is lacking."""
        return bool(self.broken) if self.check.lacks else not self.broken and self.complete


_FAILOVER = "FAULTS=1 TOKENS=2 FRUITLESS=1 HANDOFFS=1"
_PATIENT = "FAULTS=1 TOKENS=2 FRUITLESS=3 HANDOFFS=1"
_ENDING = "FAULTS=1 TOKENS=1 FRUITLESS=1 HANDOFFS=1"

PROPERTIES = (
    Check(name="ends, reader", definitions=f"{_ENDING} READER", claim="ends"),
    Check(
        name="ends, canceller",
        definitions="FAULTS=1 TOKENS=1 FRUITLESS=1 HANDOFFS=0 CANCELLER",
        claim="ends",
    ),
    Check(
        name="safe, canceller, two faults",
        definitions="FAULTS=2 TOKENS=1 FRUITLESS=1 HANDOFFS=0 CANCELLER",
    ),
    Check(name="safe, reader", definitions=f"{_FAILOVER} READER"),
    Check(
        name="safe, many claims",
        definitions="FAULTS=1 TOKENS=2 FRUITLESS=2 HANDOFFS=1",
    ),
    Check(name="safe, canceller and handover", definitions=f"{_ENDING} CANCELLER"),
    Check(
        name="safe, canceller, two texts",
        definitions="FAULTS=1 TOKENS=2 FRUITLESS=1 HANDOFFS=0 CANCELLER",
    ),
    Check(name="completes, lease kept", definitions=f"{_PATIENT} LEASE", claim="completes"),
)


def _without(rule: str, definitions: str, claim: str = "") -> Check:
    return Check(name=f"without {rule}", definitions=definitions, claim=claim, lacks=rule)


MUTATIONS = (
    _without("NO_CONDITION", _FAILOVER),
    _without("NO_NONCE", _FAILOVER),
    _without("RETRY_IS_LOSS", _FAILOVER),
    _without("RETRY_ELSEWHERE", _FAILOVER),
    _without("DELIVER_BEFORE_DURABLE", _FAILOVER),
    _without("CONTINUE_FROM_MEMORY", _FAILOVER),
    _without("CLAIM_WITHOUT_READING", _FAILOVER),
    _without("IGNORE_LOSS", _FAILOVER),
    _without("IGNORE_SILENCE", _FAILOVER),
    _without("CLAIM_AFTER_END", _FAILOVER),
    _without("CANCEL_AFTER_END", f"{_FAILOVER} CANCELLER"),
    _without("GAP_DELIVERED", f"{_FAILOVER} READER"),
    _without("HANDOFF_IS_END", f"{_FAILOVER} READER"),
    _without("HANDOFF_IS_END", _FAILOVER, claim="ends"),
    _without("NO_LIMIT", _FAILOVER),
    _without("NO_TAKEOVER", _FAILOVER, claim="ends"),
    _without("NO_LEASE", f"{_PATIENT} LEASE", claim="completes"),
)


def search(check: Check, folder: Path) -> Result:
    """Run one search in a folder of its own; raises CalledProcessError if a tool fails."""
    shutil.copy(_MODEL, folder / "log.pml")
    definitions = [f"-D{each}" for each in check.definitions.split()]
    definitions += [f"-D{check.lacks}"] if check.lacks else []
    _run(folder, "spin", *definitions, "-a", "log.pml")
    # What is short to search is long to optimise.
    level = "-O0" if check.lacks else "-O1"
    _run(folder, "gcc", level, "-w", *(() if check.claim else _SAFETY), "-o", "pan", "pan.c")
    begun = time.monotonic()
    fair = ("-a", "-f", "-N", check.claim) if check.claim else ()
    found = _run(folder, "./pan", f"-m{_DEPTH}", *fair)
    seconds = time.monotonic() - begun
    states = _STATES.search(found)
    if states is None:
        raise ValueError(f"{check.name}: pan said nothing of states:\n{found[-_TAIL:]}")
    violation = _VIOLATION.search(found)
    lines = _places(_run(folder, "./pan", "-d"), _STATE, state=1, line=2)
    unreached = _places(found, _UNREACHED, state=2, line=1)
    return Result(
        check=check,
        states=int(float(states[1])),
        seconds=seconds,
        broken=_broken(check, folder, definitions, violation[1]) if violation else "",
        complete="errors: 0" in found and not any(each in found for each in _INCOMPLETE),
        lines=frozenset(lines.values()),
        reached=frozenset(line for place, line in lines.items() if place not in unreached),
    )


def trail(check: Check, folder: Path) -> str:
    """The steps to the fault that a search has left in its folder."""
    definitions = [f"-D{each}" for each in (*check.definitions.split(), check.lacks) if each]
    return _run(folder, "spin", *definitions, "-t", "-p", "log.pml")


def _broken(check: Check, folder: Path, definitions: Sequence[str], violation: str) -> str:
    """The rule in the model's own words: the comment beside the assertion that failed."""
    if not violation.startswith("assertion violated"):
        return f"some stream never {check.claim}" if check.claim else violation
    failed = _FAILED_LINE.search(_run(folder, "spin", *definitions, "-t", "log.pml"))
    if failed is None:
        raise ValueError(f"{check.name}: {violation}, which no assertion of the model says")
    rule = _RULE.search(_MODEL.read_text().splitlines()[int(failed[1]) - 1])
    assert rule is not None, f"line {failed[1]} of the model asserts a rule without a name"
    return rule[1]


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=folder, check=False, capture_output=True, text=True, timeout=_SECONDS
    )
    # pan -d, which lists the transitions, exits with 1.
    if done.returncode and command[1:] != ("-d",):
        sys.stderr.write(done.stdout[-_TAIL:] + done.stderr[-_TAIL:])
        done.check_returncode()
    return done.stdout


def _places(
    text: str, pattern: re.Pattern[str], *, state: int, line: int
) -> dict[tuple[str, int], int]:
    """The model's line for each state of each process that a listing names but its end."""
    process = ""
    places: dict[tuple[str, int], int] = {}
    for each in text.splitlines():
        if header := _PROCESS.search(each):
            process = header[1]
        elif (found := pattern.search(each)) and "-end-" not in each:
            places[process, int(found[state])] = int(found[line])
    return places


def _row(result: Result) -> str:
    verdict = "ok" if result.as_expected else "FAULT"
    if result.check.lacks:
        what = f"breaks: {result.broken}" if result.broken else "NOT MISSED"
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


def _show_trail(rule: str) -> int:
    check = next(each for each in MUTATIONS if each.lacks == rule)
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        result = search(check, Path(folder))
        print(trail(check, Path(folder)))
    print(_row(result))
    return 0


def main() -> int:
    """Search for every property and every mutation, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m proof", description=__doc__)
    parser.add_argument(
        "--trail",
        choices=sorted({each.lacks for each in MUTATIONS}),
        help="show step by step what happens without this rule",
    )
    rule: str | None = parser.parse_args().trail
    for tool in ("spin", "gcc"):
        if shutil.which(tool) is None:
            print(f"{tool} is not installed (Debian: apt-get install spin gcc)", file=sys.stderr)
            return 2
    if rule is not None:
        return _show_trail(rule)
    begun = time.monotonic()
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        results = list(pool.map(_search_in_new_folder, (*PROPERTIES, *MUTATIONS)))
    whole = [each for each in results if not each.check.lacks]
    reached = frozenset[int]().union(*(each.reached for each in whole))
    dead = frozenset[int]().union(*(each.lines for each in whole)) - reached
    if dead:
        print(f"FAULT no search ever came to these lines of log.pml: {sorted(dead)}")
    faults = sum(not each.as_expected for each in results) + bool(dead)
    print(f"{len(results)} searches, {faults} faults, {time.monotonic() - begun:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
