"""Fixtures of the application's tests: an emulator, and a stream on it."""

from collections.abc import Iterator

import httpx
import pytest

from tests.app.emulator import emulator
from tests.app.public import BODY, ORIGIN, PADDING, TOKENS, WEBSITE, bearer


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
    with emulator(**settings) as running:
        yield running.http


@pytest.fixture
def created(http: httpx.Client) -> dict[str, str]:
    """A stream of the website's."""
    answer = http.post("/streams", json=BODY, headers=bearer(WEBSITE))
    assert answer.status_code == 201, answer.text
    stream: dict[str, str] = answer.json()
    return stream
