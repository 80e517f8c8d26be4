"""A public function: its gate, the headers of its answers, other origins, padded events."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Response

from app.access.api_tokens import ApiTokens
from app.access.stream_tokens import sign
from app.application import create_app
from app.models.demo import DemoProvider
from app.settings import Settings
from lambda_stream import Adapter
from lambda_stream.cycle import ResponseBuffer
from lambda_stream.invocation import LambdaContext

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
WEBSITE, TESTS = "w" * 32, "t" * 32
TOKENS = json.dumps({"website": WEBSITE, "tests": [TESTS]})
ORIGIN = "https://app.example.com"
PADDING = 2_000
BODY = {"prompt": "hello"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


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


def assert_refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert ("Bearer" in answer.headers.get("www-authenticate", "")) == (status == 401)


# Who may


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", f"Basic {WEBSITE}", WEBSITE])
def test_creating_needs_an_api_token(http: httpx.Client, header: str) -> None:
    shown = {"Authorization": header} if header else {}
    for url in ("/streams", "/streams?stream=true", f"/streams?token={WEBSITE}"):
        assert_refused(http.post(url, json=BODY, headers=shown), 401, "unauthorized")
    assert_refused(http.get("/sse?prompt=hello", headers=shown), 401, "unauthorized")


def test_an_api_token_is_asked_for_before_the_request_is_looked_at(http: httpx.Client) -> None:
    assert_refused(http.post("/streams", json={"nonsense": 1}), 401, "unauthorized")
    assert_refused(http.get("/sse?prompt="), 401, "unauthorized")


def test_an_api_token_creates_and_reads_in_one(http: httpx.Client) -> None:
    for answer in (
        http.post("/streams?stream=true", json=BODY, headers=bearer(TESTS)),
        http.get("/sse?prompt=hello", headers=bearer(TESTS)),
    ):
        assert answer.status_code == 200
        assert "event: done" in answer.text


def test_the_addresses_of_a_stream_need_no_header(
    http: httpx.Client, created: dict[str, str]
) -> None:
    assert created["events_url"].endswith(f"/events?token={created['token']}")

    events = http.get(created["events_url"])
    snapshot = http.get(created["url"]).json()
    cancelled = http.post(created["cancel_url"])

    assert "event: done" in events.text
    assert snapshot["status"] == "done"
    assert snapshot["token"] == created["token"]
    assert snapshot["events_url"] == created["events_url"]
    assert cancelled.status_code == 200


def test_the_owner_needs_no_address(http: httpx.Client, created: dict[str, str]) -> None:
    url, shown = f"/streams/{created['id']}", bearer(WEBSITE)

    assert "event: done" in http.get(f"{url}/events", headers=shown).text
    assert http.get(url, headers=shown).json()["token"] == created["token"]
    assert http.post(f"{url}/cancel", headers=shown).status_code == 200


def test_a_reconnect_is_let_in_like_the_first_time(
    http: httpx.Client, created: dict[str, str]
) -> None:
    cursor = {"Last-Event-ID": f"{created['id']}:1"}
    first = http.get(created["events_url"])
    assert "event: start" in first.text

    again = http.get(created["events_url"], headers=cursor)
    by_sse = http.get("/sse?prompt=x", headers={**cursor, **bearer(WEBSITE)})

    assert again.text == by_sse.text
    assert "event: start" not in again.text
    assert_refused(http.get("/sse?prompt=x", headers=cursor), 401, "unauthorized")
    assert_refused(
        http.get("/sse?prompt=x", headers={**cursor, **bearer(TESTS)}), 404, "stream_not_found"
    )


def test_a_stream_of_somebody_else_is_not_there(
    http: httpx.Client, created: dict[str, str]
) -> None:
    """With their API token, or with the token of a stream of their own."""
    other = http.post("/streams", json=BODY, headers=bearer(TESTS)).json()
    url = f"/streams/{created['id']}"
    for query, shown in (("", bearer(TESTS)), (f"?token={other['token']}", {})):
        for answer in (
            http.get(f"{url}/events{query}", headers=shown),
            http.get(f"{url}{query}", headers=shown),
            http.post(f"{url}/cancel{query}", headers=shown),
        ):
            assert_refused(answer, 404, "stream_not_found")
    assert "event: done" in http.get(created["events_url"]).text


def test_without_credentials_it_is_not_told_whether_a_stream_exists(
    http: httpx.Client, created: dict[str, str]
) -> None:
    for stream_id in (created["id"], "x" * 32):
        url = f"/streams/{stream_id}"
        for query in ("", "?token=", "?token=nonsense"):
            assert_refused(http.get(f"{url}/events{query}"), 401, "unauthorized")
            assert_refused(http.get(f"{url}{query}"), 401, "unauthorized")
            assert_refused(http.post(f"{url}/cancel{query}"), 401, "unauthorized")


def test_an_expired_token_says_so(http: httpx.Client, created: dict[str, str]) -> None:
    token = sign(ApiTokens.parse(TOKENS), created["id"], "website", 1_000_000_000)

    answer = http.get(f"/streams/{created['id']}/events?token={token}")

    assert_refused(answer, 401, "token_expired")


def test_one_key_of_two_owners_makes_two_streams(http: httpx.Client) -> None:
    key = {"Idempotency-Key": "0123456789abcdef"}
    ids = {
        http.post("/streams", json=BODY, headers={**bearer(token), **key}).json()["id"]
        for token in (WEBSITE, TESTS, WEBSITE)
    }

    assert len(ids) == 2


def test_the_counters_are_no_streams(http: httpx.Client) -> None:
    for stream_id in ("limit:tokens:all:20000", "limit%3Atokens%3Aall%3A20000", "x", "x" * 200):
        answer = http.get(f"/streams/{stream_id}", headers=bearer(WEBSITE))
        assert_refused(answer, 404, "stream_not_found")


@pytest.mark.parametrize("token", ["", "wrong"])
def test_healthz_tells_a_stranger_that_it_lives_and_asks_for_tokens_and_no_more(
    http: httpx.Client, token: str
) -> None:
    shown = bearer(token) if token else {}

    assert http.get("/healthz", headers=shown).json() == {"status": "ok", "access": "tokens"}


def test_healthz_tells_who_has_an_api_token_what_runs(http: httpx.Client) -> None:
    assert http.get("/healthz", headers=bearer(TESTS)).json() == {
        "status": "ok",
        "access": "tokens",
        "provider": "demo",
        "models": ["demo"],
    }


def test_openapi_tells_which_token_opens_what(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    security = {
        (method, path): operation["security"]
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }

    either: list[Any] = [{"API token": []}, {"Stream token": []}]
    assert security == {
        ("post", "/streams"): [{"API token": []}],
        ("get", "/streams/{stream_id}/events"): either,
        ("get", "/streams/{stream_id}"): either,
        ("post", "/streams/{stream_id}/cancel"): either,
        ("get", "/sse"): either,
        ("get", "/healthz"): [{"API token": []}, {}],
    }
    assert set(document["components"]["securitySchemes"]) == {"API token", "Stream token"}
    for method, path in security:
        statuses = document["paths"][path][method]["responses"]
        assert ("401" in statuses) == (path != "/healthz")
        assert "403" not in statuses


def test_with_a_token_a_page_of_another_site_may_create_streams(http: httpx.Client) -> None:
    """It has been given the token; a page that has none gets 401, as anybody does."""
    elsewhere = {"Sec-Fetch-Site": "cross-site"}

    assert http.get("/sse?prompt=a", headers={**elsewhere, **bearer(TESTS)}).status_code == 200
    assert_refused(http.get("/sse?prompt=a", headers=elsewhere), 401, "unauthorized")


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
    """Whose page of another origin can read it, too."""
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


def test_scripts_of_other_hosts_are_not_run_beside_tokens(http: httpx.Client) -> None:
    assert http.get("/docs").status_code == 404


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


def test_a_refusal_can_be_read_from_another_origin_too(http: httpx.Client) -> None:
    answer = http.post("/streams", json=BODY, headers={"Origin": ORIGIN})

    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == ORIGIN


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

    assert max(map(len, comments)) == PADDING - len("retry: 500\n") - 1
    assert not any(comment.strip(": ") for comment in comments)
    assert text.count("event: done") == 1
