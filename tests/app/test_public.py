"""A public function: the headers of its answers, other origins, padded events."""

import json
import time

import httpx
import pytest
from fastapi import Response

from app.application import create_app
from app.models.demo import DemoProvider
from app.settings import Settings
from lambda_stream import Adapter
from lambda_stream.cycle import ResponseBuffer
from lambda_stream.invocation import LambdaContext
from tests.app.public import (
    BODY,
    ORIGIN,
    PADDING,
    ROOT,
    assert_refused,
)

pytestmark = pytest.mark.anyio

# Headers


def test_every_answer_forbids_guessing_telling_and_running(
    http: httpx.Client, created: dict[str, str]
) -> None:
    for answer in (
        http.get("/healthz"),
        http.get("/nothing"),
        http.post("/streams", json=BODY),
        http.get(created["events_url"]),
        http.get("/client.js"),
        http.get("/"),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "max-age" in answer.headers["strict-transport-security"]
        assert answer.headers["cache-control"].split(",")[0] in {"no-cache", "no-store"}
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


async def test_so_does_the_answer_to_what_nobody_has_foreseen() -> None:
    """A page of another origin can read it, too."""
    settings = Settings(table_name="none", allowed_origins=(ORIGIN,))
    app = create_app(settings, DemoProvider(tokens=1))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        # Without a lifespan the application lacks all that its routes need.
        answer = await client.get("/healthz", headers={"Origin": ORIGIN})

    assert_refused(answer, 500, "internal_error")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["access-control-allow-origin"] == ORIGIN


async def test_so_does_the_answer_where_a_head_was_too_large(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it counts as an error: no invocation fails that an alarm would tell of."""
    monkeypatch.delenv("POWERTOOLS_METRICS_DISABLED", raising=False)
    app = create_app(Settings(table_name="none"), DemoProvider(tokens=1))

    @app.get("/long")
    def long() -> Response:
        return Response("text", headers={"X-Long": "a" * 17_000})

    event = json.loads((ROOT / "events/function-url-read.json").read_text())
    event["requestContext"]["http"]["path"] = event["rawPath"] = "/long"
    response = ResponseBuffer()
    context = LambdaContext("1", "arn", deadline_ms=int(time.time() * 1000) + 60_000)

    await Adapter(app).stream(event, context, response)

    assert response.prelude.status == 500
    assert ("x-content-type-options", "nosniff") in response.prelude.headers
    assert json.loads(response.body)["error"]["code"] == "internal_error"
    [line] = [line for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert (json.loads(line)["code"], json.loads(line)["Errors"]) == ("internal_error", [1.0])


# Other origins


def test_a_page_of_an_allowed_origin_may_do_all_that_a_client_does(
    http: httpx.Client, created: dict[str, str]
) -> None:
    for method, headers in (
        ("POST", "authorization,content-type,idempotency-key"),
        ("GET", "authorization,cache-control,last-event-id"),
    ):
        preflight = http.options(
            "/streams",
            headers={
                "Origin": ORIGIN,
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": headers,
            },
        )
        assert preflight.status_code == 200
        assert preflight.content, "an empty answer hangs in Lambda"
        assert preflight.headers["access-control-allow-origin"] == ORIGIN
    answer = http.get(
        created["events_url"], headers={"Origin": ORIGIN, "Last-Event-ID": f"{created['id']}:0"}
    )
    assert answer.status_code == 200
    assert answer.headers.get_list("access-control-allow-origin") == [ORIGIN]
    assert "retry-after" in answer.headers["access-control-expose-headers"].lower()
    assert "access-control-allow-credentials" not in answer.headers
    assert "origin" in answer.headers["vary"].lower()


@pytest.mark.parametrize("origin", ["https://evil.example.com", f"{ORIGIN}.evil.com", "null"])
def test_other_pages_may_not(http: httpx.Client, origin: str) -> None:
    shown = {"Origin": origin, "Access-Control-Request-Method": "POST"}

    assert "access-control-allow-origin" not in http.get("/healthz", headers=shown).headers
    assert http.options("/streams", headers=shown).status_code == 400


# Padding


def test_what_is_sent_at_once_is_as_long_as_it_must_be(
    http: httpx.Client, created: dict[str, str]
) -> None:
    """Comments, which an EventSource skips: the events are the same."""
    text = http.get(created["events_url"]).text
    comments = [line for line in text.split("\n") if line.startswith(":")]

    assert max(map(len, comments)) == PADDING - len("retry: 300\n") - 1
    assert not any(comment.strip(": ") for comment in comments)
    assert text.count("event: done") == 1
