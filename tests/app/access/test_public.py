"""A public function: the access that tokens give, and the answers to callers without one."""

from typing import Any

import httpx
import pytest

from app.access.api_tokens import ApiTokens
from app.access.stream_tokens import sign
from app.agent import AGENTS
from app.agents import Agents
from tests.app.public import (
    BODY,
    ORIGIN,
    TESTS,
    TOKENS,
    WEBSITE,
    assert_refused,
    bearer,
)

DEFAULT = Agents(AGENTS).default


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


def test_a_stream_is_followed_by_its_owner_alone(
    http: httpx.Client, created: dict[str, str]
) -> None:
    """Its own token opens it for reading, and no other caller learns that it exists."""
    http.get(created["events_url"])
    body = {**BODY, "previous": created["id"]}

    assert_refused(http.post("/streams", json=body, headers=bearer(TESTS)), 404, "stream_not_found")
    assert_refused(http.post("/streams", json=body), 401, "unauthorized")
    assert_refused(
        http.get("/sse", params={**body, "token": created["token"]}), 401, "unauthorized"
    )
    assert http.post("/streams", json=body, headers=bearer(WEBSITE)).status_code == 201


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
        "agents": [{"name": DEFAULT.name, "description": DEFAULT.description}],
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
    """It has been given the token; a page that has none gets 401, as any caller does."""
    elsewhere = {"Sec-Fetch-Site": "cross-site"}

    assert http.get("/sse?prompt=a", headers={**elsewhere, **bearer(TESTS)}).status_code == 200
    assert_refused(http.get("/sse?prompt=a", headers=elsewhere), 401, "unauthorized")


def test_scripts_of_other_hosts_are_not_run_beside_tokens(http: httpx.Client) -> None:
    assert http.get("/docs").status_code == 404


def test_a_refusal_can_be_read_from_another_origin_too(http: httpx.Client) -> None:
    answer = http.post("/streams", json=BODY, headers={"Origin": ORIGIN})

    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == ORIGIN
