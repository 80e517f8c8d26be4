"""The ledger: a file outside of the log, to which the processes of a function append lines.

One line is one write of a file that is opened for appending, so no line is torn or lost, whenever
a process is killed. The sandboxes import this module; the test reads what they have written.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.task import Task

LEDGER = "LEDGER"


@dataclass(frozen=True)
class Effect:
    """A side effect: the idempotency key of its step, and the attempt that caused it."""

    key: str
    attempt: int


@dataclass(frozen=True)
class Attempt:
    """An attempt at a stream began in this process."""

    stream_id: str
    attempt: int
    pid: int


def note_effect(task: Task[Any]) -> None:
    """Note a side effect of the step that runs here, before it may fail or be killed."""
    _append({"key": task.step_key, "attempt": task.attempt})


def note_attempt(stream_id: str, attempt: int) -> None:
    """Note that this process begins an attempt."""
    _append({"stream_id": stream_id, "attempt": attempt, "pid": os.getpid()})


def effects(ledger: Path, stream_id: str) -> list[Effect]:
    """The side effects of one stream, in their order."""
    found = [Effect(**line) for line in _lines(ledger) if "key" in line]
    return [effect for effect in found if effect.key.startswith(f"{stream_id}:")]


def writer(ledger: Path, stream_id: str) -> int:
    """The process that has begun the newest attempt at a stream."""
    found = [Attempt(**line) for line in _lines(ledger) if line.get("stream_id") == stream_id]
    return max(found, key=lambda attempt: attempt.attempt).pid


def _append(line: dict[str, Any]) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    descriptor = os.open(os.environ[LEDGER], flags, 0o644)
    try:
        os.write(descriptor, f"{json.dumps(line)}\n".encode())
    finally:
        os.close(descriptor)


def _lines(ledger: Path) -> Iterator[dict[str, Any]]:
    if ledger.exists():
        for line in ledger.read_text().splitlines():
            yield json.loads(line)
