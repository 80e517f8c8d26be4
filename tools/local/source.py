"""Tells when the function's source has changed."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def fingerprint(root: Path) -> int:
    """A number that changes when a file under the folder does, is new, or has gone."""
    return hash(tuple(sorted(_modified(root))))


def _modified(root: Path) -> Iterator[tuple[str, int]]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            # Editors save by renaming: a file may go between being listed and being looked at.
            with suppress(FileNotFoundError):
                path = Path(folder, name)
                yield str(path), path.stat().st_mtime_ns
