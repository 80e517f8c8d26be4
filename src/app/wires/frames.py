"""Frames: JSON in ASCII, and one event in a line of `data`."""

import json
from typing import Any


def compact(value: Any) -> str:
    """The value as JSON in ASCII: half a surrogate pair has an escape, and no UTF-8 form."""
    return json.dumps(value, separators=(",", ":"))


def frame(event: Any) -> bytes:
    """One Server-Sent Event without a name and without an id."""
    return b"data: %s\n\n" % compact(event).encode()
