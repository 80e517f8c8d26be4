"""Keys of steps: the path to a step within its stream, the same in every attempt.

A path is a list of segments with `/` between them. A step's segment is `name:number`, or
`name:key:number`; a branch's segment is its label, which has no colon.
"""

import hashlib
import re
from collections.abc import Iterator

from durable_stream.exceptions import StepRefused

MAX_DEPTH = 4
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_SAFE = 64


def stem(path: str, name: str, key: str) -> str:
    """The key of a step at this path without its number; raises StepRefused."""
    _check_name(name, "step")
    if path.count("/") + bool(path) >= MAX_DEPTH:
        raise StepRefused(
            "step_invalid",
            f"The step {name!r} is more than {MAX_DEPTH} steps or branches deep: call it from a "
            "step or branch further out.",
        )
    around = f"{path}/" if path else ""
    return f"{around}{name}:{_tamed(key)}:" if key else f"{around}{name}:"


def branch(path: str, label: str) -> str:
    """The path of a branch; raises StepRefused."""
    _check_name(label, "branch")
    return f"{path}/{label}" if path else label


def is_in_step(path: str) -> bool:
    """True for the key of a step, and for the path of a branch within one."""
    return ":" in path


def is_keyed(step: str) -> bool:
    """True for the key of a step that has a key of the caller's in it."""
    return step.rpartition("/")[2].count(":") > 1


def innermost_step(path: str) -> str:
    """The key of the step around this place, "" outside of steps."""
    return next((each for each in lineage(path) if ":" in each.rpartition("/")[2]), "")


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
    readable = f"{stream_id}:{key}"
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
