"""Units of bytes, and their rounding."""

import math

KB = 1024
MB = 1024 * KB
GB = 1024 * MB


def begun(size: float, unit: int) -> int:
    """Return the number of units that a size needs, rounded up."""
    return math.ceil(size / unit)
