"""Detects changes of the function's source."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def fingerprint(root: Path) -> int:
    """Return a number that changes when a file below the folder is changed, added or removed."""
    return hash(tuple(sorted(_modified(root))))


def _modified(root: Path) -> Iterator[tuple[str, int]]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            # Editors save by renaming, so a listed file may be gone before `stat`.
            with suppress(FileNotFoundError):
                path = Path(folder, name)
                yield str(path), path.stat().st_mtime_ns
