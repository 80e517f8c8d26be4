"""Keys of steps: the path to a step within its stream, the same in every attempt.

A path is a list of segments with `/` between them. A step's segment is `name:occurrence`, or
`name:key:occurrence`; a branch's segment is its label, which has no colon.
"""

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Iterator

from durable_stream.exceptions import StepRefused

MAX_DEPTH = 4
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_SAFE = 64


class Keys:
    """Gives out the keys of one attempt, in the order in which its steps are asked for."""

    def __init__(self) -> None:
        self._occurrences: Counter[str] = Counter()
        self._askers: dict[str, asyncio.Task[object] | None] = {}

    def next(self, path: str, name: str, key: str) -> str:
        """The key of the next step of this name at this path; raises StepRefused."""
        _check_name(name, "step")
        stem = f"{path}/" if path else ""
        stem += f"{name}:{_tamed(key)}:" if key else f"{name}:"
        if stem.count("/") >= MAX_DEPTH:
            raise StepRefused(
                "step_invalid",
                f"The step {name!r} is more than {MAX_DEPTH} steps or branches deep: "
                "return its value to the step around it.",
            )
        self._check_asker(stem, name)
        self._occurrences[stem] += 1
        return f"{stem}{self._occurrences[stem]}"

    def _check_asker(self, stem: str, name: str) -> None:
        """Refuse a step whose number would depend on which of two tasks came first."""
        asker = asyncio.current_task()
        before = self._askers.setdefault(stem, asker)
        if before is not asker and before is not None and not before.done():
            raise StepRefused(
                "step_ambiguous",
                f"Two tasks at once ask for the step {name!r}, so a later attempt could mix up "
                "their values: give each a `key=`, or put each task into a `branch()`.",
            )
        self._askers[stem] = asker


def branch(path: str, label: str) -> str:
    """The path of a branch; raises StepRefused."""
    _check_name(label, "branch")
    return f"{path}/{label}" if path else label


def is_step(path: str) -> bool:
    """True for the key of a step, and not of a branch or of the whole stream."""
    return ":" in path.rpartition("/")[2]


def parent(path: str) -> str:
    """The path around this one; "" is the whole stream."""
    return path.rpartition("/")[0]


def lineage(path: str) -> Iterator[str]:
    """The path, and all paths around it but the whole stream."""
    while path:
        yield path
        path = parent(path)


def idempotency_key(stream_id: str, key: str) -> str:
    """A name of the step in the world: at most 64 characters of `[A-Za-z0-9_.:-]`."""
    readable = f"{stream_id}:{key.replace('/', ':')}"
    if len(readable) <= _MOST_SAFE and "/" not in key:
        return readable
    return f"{stream_id}:{hashlib.sha256(key.encode()).hexdigest()}"[:_MOST_SAFE]


def _check_name(name: str, noun: str) -> None:
    if not _NAME.fullmatch(name):
        raise StepRefused(
            "step_invalid",
            f"{name[:100]!r} cannot name a {noun}: use 1 to 64 letters, digits, and `_.-`.",
        )


def _tamed(key: str) -> str:
    """The caller's key as a part of a segment: itself, or a digest of it."""
    return key if _NAME.fullmatch(key) else hashlib.sha256(key.encode()).hexdigest()[:16]
