"""Other people's servers, in processes of their own (`make peers`)."""

import subprocess
import time
from pathlib import Path

import httpx
import pytest


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, *, seconds: float) -> None:
    """Return when a server answers there; the test fails with its log if it does not in time."""
    give_up = time.monotonic() + seconds
    with httpx.Client() as client:
        while time.monotonic() < give_up and process.poll() is None:
            try:
                client.get(url).raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.1)
            else:
                return
    pytest.fail(f"nothing answers at {url}:\n{log.read_text()}")
