"""`python -m local` in a process of its own, and a client of it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from tests.plugin import ROOT


@dataclass(frozen=True)
class Emulator:
    """An emulator at work."""

    http: httpx.Client
    dynamodb_url: str


@contextmanager
def emulator(*flags: str, **env: str) -> Iterator[Emulator]:
    """Run the emulator at a free port, with `env` for its function."""
    settings = [flag for name, value in env.items() for flag in ("--env", f"{name}={value}")]
    command = [sys.executable, "-m", "local", "--port", "0", *flags, *settings]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            facts: dict[str, str] = {}
            while not facts.keys() >= {"page", "dynamodb"}:
                name, value = process.stdout.readline().split()[:2]
                facts[name] = value
            with httpx.Client(base_url=facts["page"], timeout=30) as http:
                yield Emulator(http, facts["dynamodb"])
        finally:
            process.terminate()
