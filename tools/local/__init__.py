"""A Lambda function URL on this machine that really streams: `python -m local`."""

from local.emulator import Running, serve
from local.exceptions import CannotStart
from local.options import Options

__all__ = ["CannotStart", "Options", "Running", "serve"]
