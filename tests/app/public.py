"""A public function: its tokens, the origin that may use it, and its padded events."""

import json
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
WEBSITE, TESTS = "w" * 32, "t" * 32
TOKENS = json.dumps({"website": WEBSITE, "tests": [TESTS]})
ORIGIN = "https://app.example.com"
PADDING = 2_000
BODY = {"prompt": "hello"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def assert_refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert ("Bearer" in answer.headers.get("www-authenticate", "")) == (status == 401)
