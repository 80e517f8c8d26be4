"""Fixtures of the application's tests: an emulator, and a stream on it."""

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.app.public import BODY, ORIGIN, PADDING, ROOT, TOKENS, WEBSITE, bearer


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    """One emulator for the module: no test here leaves anything that another would meet."""
    settings = {
        "API_TOKENS": TOKENS,
        "ALLOWED_ORIGINS": f"{ORIGIN},https://other.example.com:8443",
        "EVENT_PADDING_BYTES": str(PADDING),
        "DEMO_TOKENS": "5",
        "DEMO_TOKENS_PER_SECOND": "500",
    }
    flags = [flag for name, value in settings.items() for flag in ("--env", f"{name}={value}")]
    command = [sys.executable, "-m", "local", "--port", "0", *flags]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        page = ""
        while not page:
            name, value = process.stdout.readline().split()[:2]
            page = value if name == "page" else ""
        with httpx.Client(base_url=page, timeout=30) as client:
            yield client
        process.terminate()


@pytest.fixture
def created(http: httpx.Client) -> dict[str, str]:
    """A stream of the website's."""
    answer = http.post("/streams", json=BODY, headers=bearer(WEBSITE))
    assert answer.status_code == 201, answer.text
    stream: dict[str, str] = answer.json()
    return stream
