"""The sandboxes' output: the process id of each, and the errors that must not go unheard.

The next take-over repairs a writer that breaks, and its readers notice nothing but four seconds.
So the application's errors count as failures, unless a fault explains them.
"""

import json
import re
import time
from dataclasses import dataclass
from typing import Any

from proof.chaos.sandboxes import Sandboxes

_ANNOUNCED = re.compile(r"process (\d+)")
_TIMED_OUT = re.compile(r"(\S+) Task timed out after ([\d.]+) seconds")
# A sandbox that has ended, or an answer that has no end.
_BROKEN = re.compile(r"Error: (Runtime exited: .*)\t|RequestId: \S+ Error: (.*Truncated.*)")
# Lambda's own lines about processes and invocations; the runtime has logged any error in them.
_OF_THE_PLATFORM = re.compile(
    r"(START|END|REPORT) RequestId: |INIT_REPORT |"
    r"Error: a client was too slow|RequestId: \S+ Error: "
)
# The table is told to fail a sandbox, or is slow, and is out of reach for a sandbox that is frozen
# or ends. These are the messages that follow: of a writer that leaves its stream to another, and of
# the two kinds of answers that say "come back".
_STORE_FAILED = frozenset(
    {
        "the store failed; the stream is left to another writer",
        "the store failed",
        "reading failed",
    }
)
_STORE_UNAVAILABLE = "StoreUnavailable"
# A frozen sandbox misses the end of its readers' time.
_UNFINISHED = "UnexpectedMessage"
_LATELY = 30.0
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Complaint:
    """A sandbox's message that no fault explains; no part of a prompt or an answer.

    `stream` is the beginning of a stream's id, empty if none was named.
    """

    process: int
    what: str
    stream: str = ""

    def __str__(self) -> str:
        return f"process {self.process}: {self.what}"


class SandboxLog:
    """Hears the sandboxes of one function; called with every line that they print."""

    def __init__(self, sandboxes: Sandboxes) -> None:
        self.complaints: list[Complaint] = []
        self._sandboxes = sandboxes
        self._pids: dict[str, int] = {}

    def __call__(self, line: str) -> None:
        name, _, text = line.partition(" | ")
        pid = self._pids.get(name, 0)
        if announced := _ANNOUNCED.fullmatch(text):
            self._pids[name] = int(announced[1])
            self._sandboxes.meet(self._pids[name])
        elif timed_out := _TIMED_OUT.fullmatch(text):
            self._timed_out(pid, seconds=float(timed_out[2]))
        elif broken := _BROKEN.match(text):
            self._broke(pid, broken[1] or broken[2])
        elif text and not _OF_THE_PLATFORM.match(text):
            self._said(pid, text)

    def _timed_out(self, pid: int, *, seconds: float) -> None:
        """An invocation was ended at its deadline; only a frozen sandbox may get so far."""
        if not self._frozen(pid, seconds):
            what = f"an invocation did not end within {seconds:.0f} s"
            self.complaints.append(Complaint(pid, what))

    def _broke(self, pid: int, what: str) -> None:
        """Note a sandbox that broke: undisturbed, it keeps running and finishes its answers."""
        if not self._shaken(pid):
            self.complaints.append(Complaint(pid, what))

    def _said(self, pid: int, text: str) -> None:
        entry = _entry(text)
        if entry is None:
            # Of a traceback, its first line and its last.
            if not text.startswith(" "):
                self.complaints.append(Complaint(pid, text[:_SHOWN]))
        elif not self._explained(pid, entry):
            what = f"{entry.message[:_SHOWN]} ({entry.error or 'no exception'}) at {entry.location}"
            self.complaints.append(Complaint(pid, what + entry.frame, entry.stream))

    def _explained(self, pid: int, entry: "_Entry") -> bool:
        if entry.error == _STORE_UNAVAILABLE:
            return entry.message in _STORE_FAILED and self._denied(pid)
        return entry.error == _UNFINISHED and self._frozen(pid, _LATELY)

    def _denied(self, pid: int) -> bool:
        """Return True when a sandbox was kept from the table lately."""
        disturbed = self._sandboxes.disturbed_since(pid, time.monotonic() - _LATELY)
        return disturbed or self._shaken(pid)

    def _shaken(self, pid: int) -> bool:
        """Return True when a sandbox was killed or told to end, or was frozen lately."""
        return pid in self._sandboxes.ended or self._frozen(pid, _LATELY)

    def _frozen(self, pid: int, seconds: float) -> bool:
        """Return True when a sandbox was without processor lately."""
        now = time.monotonic()
        return self._sandboxes.frozen_between({pid}, now - seconds, now) > 0


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the application's log, or of the runtime's; a missing member is empty.

    `frame` is the code that raised the error, where the application logs it.
    """

    message: str
    error: str
    location: str
    frame: str
    stream: str


def _entry(text: str) -> _Entry | None:
    """Read a line; None if it is from neither of the two logs."""
    try:
        said: dict[str, Any] = json.loads(text)
        return _Entry(
            message=str(said["message"]),
            # As Powertools names an exception, as the application does, and as the runtime.
            error=said.get("exception_name") or said.get("error") or said.get("errorType", ""),
            location=str(said.get("location", "")),
            frame=f"\n{said['frames'][-1].rstrip()}" if said.get("frames") else "",
            stream=said.get("stream", ""),
        )
    except (ValueError, TypeError, LookupError, AttributeError):
        return None
