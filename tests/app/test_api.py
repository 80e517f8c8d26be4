"""The routes, as a client of `python -m local` meets them."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import boto3
import httpx
import pytest
from httpx_sse import connect_sse

from app.agent import AGENTS
from app.agents import Agents
from tests.app.emulator import emulator

DEFAULT = Agents(AGENTS).default
UNKNOWN = "x" * 32
FRIEND = "https://app.example.com"


@dataclass(frozen=True)
class Served:
    """A running application and its table."""

    http: httpx.Client
    dynamodb: Any

    def records(self) -> int:
        count: int = self.dynamodb.scan(TableName="StreamTable", Select="COUNT")["Count"]
        return count

    def finished(self) -> tuple[dict[str, Any], list[str]]:
        """A stream that has been read to its end, and the ids of its events."""
        created = self.http.post("/streams", json={"prompt": "hello"}).json()
        with connect_sse(self.http, "GET", created["events_url"]) as source:
            return created, [event.id for event in source.iter_sse()]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """One emulator for the module: no test here leaves anything that another would meet."""
    env = {"DEMO_TOKENS": "5", "DEMO_TOKENS_PER_SECOND": "500", "ALLOWED_ORIGINS": FRIEND}
    with emulator(**env) as running:
        dynamodb = boto3.client(
            "dynamodb",
            endpoint_url=running.dynamodb_url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        yield Served(running.http, dynamodb)


def assert_refused(answer: httpx.Response, status: int, code: str, *hints: str) -> None:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    for hint in hints:
        assert hint in error["message"]


# Creating


def test_creating_tells_where_to_read_look_and_cancel(served: Served) -> None:
    answer = served.http.post("/streams", json={"prompt": "hello"})

    created = answer.json()
    url = f"/streams/{created['id']}"
    assert answer.status_code == 201
    assert answer.headers["location"] == url
    assert created == {
        "id": created["id"],
        "agent": DEFAULT.name,
        "model": "demo",
        "token": None,
        "url": url,
        "events_url": f"{url}/events",
        "cancel_url": f"{url}/cancel",
    }


def test_a_conversation_may_be_sent_instead_of_a_prompt(served: Served) -> None:
    messages = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "tell me more"},
    ]
    body = {"messages": messages, "model": "demo", "max_tokens": 3, "temperature": 0.5}
    body |= {"system": "Be brief.", "stop": ["END"]}
    assert served.http.post("/streams", json=body).status_code == 201


def test_creating_can_be_answered_with_the_stream_itself(served: Served) -> None:
    body = {"prompt": "hello", "max_tokens": 3}
    with connect_sse(served.http, "POST", "/streams?stream=true", json=body) as source:
        events = list(source.iter_sse())

    assert source.response.status_code == 200
    assert (events[0].event, events[-1].event) == ("start", "done")
    assert '"finish_reason":"length"' in events[-1].data


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ({}, "`prompt` or `messages`"),
        ({"prompt": "a", "messages": [{"role": "user", "content": "a"}]}, "either"),
        ({"prompt": ""}, "empty"),
        ({"prompt": " \n"}, "empty"),
        ({"prompt": None}, "`prompt` or `messages`"),
        ({"prompt": 7}, "string"),
        ({"prompt": ["a"]}, "string"),
        ({"messages": []}, "must end with a message of the user"),
        ({"messages": "a"}, "list"),
        ({"messages": [{"role": "user", "content": ""}]}, "empty"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "'assistant'"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "the user"),
        ({"messages": [{"role": "user", "content": "a", "name": "b"}]}, "name"),
        ({"prompt": "a", "surprise": 1}, "surprise"),
        ({"prompt": "a", "model": "gpt-0"}, "demo"),
        ({"prompt": "a", "model": ""}, "demo"),
        ({"prompt": "a", "max_tokens": 0}, "greater than or equal to 1"),
        ({"prompt": "a", "max_tokens": "7"}, "integer"),
        ({"prompt": "a", "max_tokens": 10**9}, "at most"),
        ({"messages": [{"role": "system", "content": "a"}]}, "'assistant'"),
        ({"prompt": "a", "stop": ["a"] * 5}, "at most 4"),
        ({"prompt": "a", "stop": [""]}, "at least 1 character"),
        ({"prompt": "a", "system": 7}, "string"),
        ({"prompt": "a", "temperature": 9}, "less than or equal to 2"),
    ],
)
def test_an_invalid_body_is_refused_and_creates_nothing(
    served: Served, body: object, hint: str
) -> None:
    before = served.records()

    answer = served.http.post("/streams", json=body)

    assert answer.status_code == 422
    assert answer.json()["error"]["code"] in {"invalid_request", "unknown_model"}
    assert hint in answer.json()["error"]["message"]
    assert served.records() == before


@pytest.mark.parametrize(
    "content",
    [
        b"not json",
        b"{",
        b"[]",
        b'"text"',
        b"[" * 100_000,
        b'{"max_tokens":' + b"9" * 5_000 + b"}",
    ],
    ids=["text", "cut", "array", "string", "deep", "endless number"],
)
def test_a_body_that_is_not_a_json_object_is_refused(served: Served, content: bytes) -> None:
    before = served.records()
    headers = {"content-type": "application/json"}

    answer = served.http.post("/streams", content=content, headers=headers)

    assert_refused(answer, 422, "invalid_json", "Content-Type: application/json")
    assert served.records() == before


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_is_not_called_json_is_refused_with_what_to_do(
    served: Served, media_type: str
) -> None:
    """As `curl -d` sends it."""
    headers = {"content-type": media_type}

    answer = served.http.post("/streams", content=b'{"prompt":"a"}', headers=headers)

    assert_refused(answer, 422, "invalid_json", "Content-Type: application/json")


def test_no_body_at_all_is_refused(served: Served) -> None:
    assert_refused(served.http.post("/streams"), 422, "invalid_request", "body")


def test_a_prompt_that_grows_beyond_a_record_when_stored_is_refused(served: Served) -> None:
    before = served.records()

    answer = served.http.post("/streams", json={"prompt": "a" + "\x01" * 60_000})

    assert_refused(answer, 413, "prompt_too_large", "control characters")
    assert served.records() == before


def test_half_a_surrogate_pair_is_no_prompt(served: Served) -> None:
    headers = {"content-type": "application/json"}

    for content in (rb'{"prompt":"\ud83d"}', rb'{"prompt":"a","system":"\ud83d"}'):
        answer = served.http.post("/streams", content=content, headers=headers)
        assert_refused(answer, 422, "invalid_request", "surrogate")


def test_what_the_client_sent_is_not_repeated_in_the_refusal(served: Served) -> None:
    answer = served.http.post("/streams", json={"prompt": ["my secret"], "model": "secret"})

    assert "secret" not in answer.text


def test_a_prompt_over_the_limit_is_refused_by_name(served: Served) -> None:
    before = served.records()

    for body in (
        {"prompt": "é" * 50_001},
        {"messages": [{"role": "user", "content": "x" * 60_000}] * 2},
    ):
        for path in ("/streams", "/streams?stream=true"):
            answer = served.http.post(path, json=body)
            assert_refused(answer, 413, "prompt_too_large", "100000", "shorten")
    assert served.records() == before


def test_a_prompt_at_the_limit_is_taken(served: Served) -> None:
    assert served.http.post("/streams", json={"prompt": "é" * 50_000}).status_code == 201


def test_six_megabytes_are_refused(served: Served) -> None:
    """Lambda itself refuses more than that; the bodies that it lets through are ours to refuse."""
    before = served.records()

    for size in (5_900_000, 6_400_000):
        answer = served.http.post("/streams", json={"prompt": "x" * size})
        assert answer.status_code == 413
        assert answer.json()
    assert served.records() == before


# Idempotency


def test_one_key_creates_one_stream_however_often_it_comes_at_once(served: Served) -> None:
    headers = {"Idempotency-Key": "8f14e45f-ceea-467f-9575-1d8a2b7b4c11"}

    def create(_: int) -> httpx.Response:
        return served.http.post("/streams", json={"prompt": "hello"}, headers=headers)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(create, range(8)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_one_key_with_another_body_is_refused(served: Served) -> None:
    headers = {"Idempotency-Key": "another-key-0123456"}
    served.http.post("/streams", json={"prompt": "hello"}, headers=headers)

    answer = served.http.post("/streams", json={"prompt": "other"}, headers=headers)

    assert_refused(answer, 422, "idempotency_key_reused", "new key")


@pytest.mark.parametrize("key", ["short", "x" * 129, "has a space in the middle"])
def test_a_key_that_could_be_guessed_or_is_malformed_is_refused(served: Served, key: str) -> None:
    headers = {"Idempotency-Key": key}

    answer = served.http.post("/streams", json={"prompt": "hello"}, headers=headers)

    assert_refused(answer, 422, "invalid_request", "idempotency-key")


# Reading


def test_a_finished_stream_is_replayed_then_204(served: Served) -> None:
    created, ids = served.finished()

    with connect_sse(served.http, "GET", created["events_url"]) as source:
        assert [event.id for event in source.iter_sse()] == ids
    done = served.http.get(created["events_url"], headers={"Last-Event-ID": ids[-1]})
    assert (done.status_code, done.content) == (204, b"")


def test_a_cursor_is_taken_from_the_header_or_else_from_the_query(served: Served) -> None:
    created, ids = served.finished()
    url = created["events_url"]

    for headers, query in [
        ({"Last-Event-ID": ids[1]}, ""),
        ({}, ids[1]),
        ({"Last-Event-ID": ids[1]}, ids[0]),
    ]:
        with connect_sse(
            served.http, "GET", url, headers=headers, params={"last_event_id": query}
        ) as source:
            assert [event.id for event in source.iter_sse()] == ids[2:]


def test_sse_creates_and_a_reconnect_resumes(served: Served) -> None:
    with connect_sse(served.http, "GET", "/sse?prompt=hello") as source:
        ids = [event.id for event in source.iter_sse()]
    before = served.records()

    headers = {"Last-Event-ID": ids[0]}
    with connect_sse(served.http, "GET", "/sse?prompt=hello", headers=headers) as source:
        assert [event.id for event in source.iter_sse()] == ids[1:]
    headers = {"Last-Event-ID": ids[-1]}
    assert served.http.get("/sse?prompt=hello", headers=headers).status_code == 204
    assert served.records() == before


@pytest.mark.parametrize(
    "query", ["", "prompt=", "prompt=%20", "prompt=a&max_tokens=x", "prompt=a" + "&stop=b" * 5]
)
def test_sse_refuses_what_creating_refuses(served: Served, query: str) -> None:
    before = served.records()

    assert_refused(served.http.get(f"/sse?{query}"), 422, "invalid_request")
    assert served.records() == before


@pytest.mark.parametrize("origin", [{}, {"Origin": "https://evil.example"}, {"Origin": "null"}])
def test_where_all_may_a_page_of_another_site_creates_no_stream(
    served: Served, origin: dict[str, str]
) -> None:
    """An image or an EventSource needs no leave of ours to send a request that costs money."""
    before = served.records()
    cursor = {"Last-Event-ID": f"{UNKNOWN}:0"}

    for more in ({}, cursor):
        headers = {"Sec-Fetch-Site": "cross-site", **origin, **more}
        answer = served.http.get("/sse?prompt=hello", headers=headers)
        assert_refused(answer, 403, "cross_site", "ALLOWED_ORIGINS")
    assert served.records() == before


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": FRIEND},
    ],
)
def test_who_is_of_no_other_site_or_of_an_allowed_one_creates_streams(
    served: Served, headers: dict[str, str]
) -> None:
    """A browser's address line, its page, curl, and a browser that does not tell."""
    assert "event: done" in served.http.get("/sse?prompt=hello", headers=headers).text


def test_a_stream_is_read_with_headers_that_keep_it_moving(served: Served) -> None:
    created, _ = served.finished()

    with served.http.stream("GET", created["events_url"]) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-store, no-transform"
        assert response.headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in response.headers


def test_an_unknown_stream_is_not_found(served: Served) -> None:
    for method, path in [
        ("GET", f"/streams/{UNKNOWN}"),
        ("GET", f"/streams/{UNKNOWN}/events"),
        ("GET", "/streams/no"),
        ("POST", f"/streams/{UNKNOWN}/cancel"),
    ]:
        answer = served.http.request(method, path)
        assert_refused(answer, 404, "stream_not_found", "POST /streams")


def test_an_expired_stream_is_not_found_though_dynamodb_still_has_it(served: Served) -> None:
    created, ids = served.finished()
    for seq in range(len(ids)):
        served.dynamodb.update_item(
            TableName="StreamTable",
            Key={"stream_id": {"S": created["id"]}, "seq": {"N": str(seq)}},
            UpdateExpression="SET expires_at = :past",
            ExpressionAttributeValues={":past": {"N": "1"}},
        )

    for headers in ({}, {"Last-Event-ID": ids[0]}):
        answer = served.http.get(created["events_url"], headers=headers)
        assert_refused(answer, 404, "stream_not_found", "expired")
    assert_refused(served.http.get(created["url"]), 404, "stream_not_found")


@pytest.mark.parametrize(
    ("cursor", "hint"),
    [
        ("nonsense", "malformed"),
        ("{id}:-1", "malformed"),
        ("{id}:1e3", "malformed"),
        ("{id}:99", "beyond"),
        (f"{UNKNOWN}:0", "another stream"),
    ],
)
def test_a_bad_cursor_is_refused_before_the_first_byte(
    served: Served, cursor: str, hint: str
) -> None:
    created, _ = served.finished()

    value = cursor.format(id=created["id"])
    by_header = served.http.get(created["events_url"], headers={"Last-Event-ID": value})
    by_query = served.http.get(created["events_url"], params={"last_event_id": value})

    assert_refused(by_header, 400, "bad_cursor", hint)
    assert_refused(by_query, 400, "bad_cursor", hint)


# Looking and cancelling


def test_a_snapshot_shows_the_whole_answer(served: Served) -> None:
    created, ids = served.finished()

    snapshot = served.http.get(created["url"]).json()

    assert snapshot["status"] == "done"
    assert snapshot["finish_reason"] == "stop"
    assert snapshot["usage"]["output_tokens"] > 5
    assert snapshot["answer"].startswith("You asked")
    assert snapshot["thinking"].startswith("The reader wrote: “hello”")
    assert snapshot["last_event_id"] == ids[-1]
    assert snapshot["error"] is None


def test_cancelling_is_idempotent_and_does_not_undo_an_end(served: Served) -> None:
    created = served.http.post("/streams", json={"prompt": "hello"}).json()

    first = served.http.post(created["cancel_url"])
    second = served.http.post(created["cancel_url"])

    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert first.json()["status"] == "cancelled"
    done, _ = served.finished()
    assert served.http.post(done["cancel_url"]).json()["status"] == "done"


# Around it


def test_healthz_says_what_runs(served: Served) -> None:
    answer = served.http.get("/healthz")

    assert answer.json() == {
        "status": "ok",
        "access": "open",
        "provider": "demo",
        "models": ["demo"],
        "agents": [{"name": DEFAULT.name, "description": DEFAULT.description}],
    }


def test_unknown_routes_and_methods_are_told_in_the_same_form(served: Served) -> None:
    assert_refused(served.http.get("/nothing"), 404, "not_found")
    assert_refused(served.http.delete("/streams"), 405, "method_not_allowed")


def test_openapi_tells_the_truth(served: Served) -> None:
    """Every route of the wire, its statuses, and the content of its success."""
    document = served.http.get("/openapi.json").json()
    paths = document["paths"]

    told = {
        (method, path): set(operation["responses"])
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    assert told == {
        ("post", "/streams"): {
            "200",
            "201",
            "400",
            "404",
            "409",
            "413",
            "422",
            "429",
            "500",
            "503",
        },
        ("get", "/streams/{stream_id}/events"): {"200", "204", "400", "404", "422", "500"},
        ("get", "/streams/{stream_id}"): {"200", "404", "422", "500", "503"},
        ("post", "/streams/{stream_id}/cancel"): {"200", "404", "422", "500", "503"},
        ("get", "/sse"): {"200", "204", "400", "403", "404", "409", "413", "422", "500"},
        ("get", "/healthz"): {"200", "500"},
    }
    for operations in paths.values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if status >= "400":
                    schema = answer["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}, operation


def test_openapi_asks_for_no_token_where_none_is_needed(served: Served) -> None:
    document = served.http.get("/openapi.json").json()

    assert "securitySchemes" not in document["components"]
    for operations in document["paths"].values():
        for operation in operations.values():
            assert "security" not in operation


def test_openapi_describes_each_event_of_a_stream(served: Served) -> None:
    """By `itemSchema`: a stream of events is no string."""
    document = served.http.get("/openapi.json").json()
    paths = document["paths"]

    for path, method in (
        ("/streams/{stream_id}/events", "get"),
        ("/sse", "get"),
        ("/streams", "post"),
    ):
        content = paths[path][method]["responses"]["200"]["content"]
        assert list(content) == ["text/event-stream"]
        event = content["text/event-stream"]["itemSchema"]
        assert set(event["properties"]["event"]["enum"]) >= {"start", "answer", "done", "error"}
        pattern = event["properties"]["id"]["pattern"]
        assert re.fullmatch(pattern, f"{UNKNOWN}:17")
        assert re.fullmatch(pattern, f"{UNKNOWN}:17:end")


def test_openapi_tells_a_generator_of_clients_what_ends_a_stream_and_that_it_resumes(
    served: Served,
) -> None:
    paths = served.http.get("/openapi.json").json()["paths"]
    with connect_sse(served.http, "GET", "/sse?prompt=hello") as source:
        kinds = [event.event for event in source.iter_sse()]

    for operation in (
        read := paths["/streams/{stream_id}/events"]["get"],
        both := paths["/sse"]["get"],
        paths["/streams"]["post"],
    ):
        told = operation["responses"]["200"]["content"]["text/event-stream"]["x-sse"]
        assert told == {
            "terminal": ["error", "cancelled", "done"],
            "cursor": "Last-Event-ID",
            "resumes": True,
        }
        assert [kind in told["terminal"] for kind in kinds] == [False] * (len(kinds) - 1) + [True]
        assert "last-event-id" in {each["name"] for each in operation["parameters"]}
    for operation in (read, both):
        assert operation["x-fern-streaming"] == {"format": "sse", "resumable": True}
    assert "x-fern-streaming" not in paths["/streams"]["post"], "its answer may be JSON"


def test_openapi_tells_the_form_of_a_cursor_and_that_a_prompt_is_not_empty(
    served: Served,
) -> None:
    document = served.http.get("/openapi.json").json()

    def schema(path: str, name: str) -> dict[str, Any]:
        parameters = document["paths"][path]["get"]["parameters"]
        [found] = [each["schema"] for each in parameters if each["name"] == name]
        shape: dict[str, Any] = found
        return shape

    for path, name in (
        ("/streams/{stream_id}/events", "last-event-id"),
        ("/streams/{stream_id}/events", "last_event_id"),
        ("/sse", "last-event-id"),
    ):
        assert re.search(schema(path, name)["pattern"], f"{UNKNOWN}:17:end")
        assert schema(path, name)["type"] == "string"
        pattern = schema(path, name)["pattern"]
        assert re.search(pattern, f"{UNKNOWN}:17")
        assert re.search(pattern, "")
        for wrong in ("nonsense", f"{UNKNOWN}:-1", f"{UNKNOWN}:01", f"{UNKNOWN}:1e3"):
            assert not re.search(pattern, wrong)
    assert re.search(schema("/streams/{stream_id}", "stream_id")["pattern"], UNKNOWN)
    body = document["components"]["schemas"]["CreateStream"]["properties"]
    content = document["components"]["schemas"]["MessageBody"]["properties"]["content"]
    for prompt in (schema("/sse", "prompt"), body["prompt"], content):
        assert not re.search(prompt["pattern"], " \n")
        assert re.search(prompt["pattern"], " a ")
