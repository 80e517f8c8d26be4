"""Bytes, and the units that they are paid in."""

import math

KB = 1024
MB = 1024 * KB
GB = 1024 * MB


def begun(size: float, unit: int) -> int:
    """How many units a size has begun."""
    return math.ceil(size / unit)
