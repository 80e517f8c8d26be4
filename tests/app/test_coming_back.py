"""A client that sends its POST again with Last-Event-ID, as @microsoft/fetch-event-source does."""

import itertools
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from durable_stream.creation import derived_id
from tests.app.emulator import emulator
from tests.event_stream import Decoder
from tests.wires.cutting import How, cutting
from tests.wires.node import run

FETCHING = Path(__file__).with_name("fetching.mjs")
BODY = {"prompt": "hello"}
ENDS = ("done", "error", "cancelled")
# A client that needs more than this comes back for ever.
MOST = 60


@pytest.fixture(scope="module")
def served() -> Iterator[httpx.Client]:
    """One emulator for the module: no test here leaves anything that another would meet."""
    with emulator(DEMO_TOKENS="5", DEMO_TOKENS_PER_SECOND="500") as running:
        yield running.http


@pytest.fixture
def key() -> str:
    return secrets.token_urlsafe()


def post(
    http: httpx.Client, key: str | None, cursor: str, body: Any = None, query: str = "?stream=true"
) -> httpx.Response:
    headers = {"Last-Event-ID": cursor, **({"Idempotency-Key": key} if key else {})}
    return http.post(f"/streams{query}", json=body or BODY, headers=headers)


@dataclass
class Fetching:
    """Sends the same request again with the last id, after a cut or while there was no end."""

    url: str
    key: str
    events: list[tuple[str, Any, str]] = field(default_factory=list)
    clean_ends: int = 0
    cuts: int = 0

    def follow(self) -> None:
        for _ in range(MOST):
            try:
                self._ask()
            except httpx.TransportError:
                self.cuts += 1
            else:
                self.clean_ends += 1
                if self.events and self.events[-1][0] in ENDS:
                    return
        raise AssertionError(f"no end after {MOST} requests")

    def _ask(self) -> None:
        headers = {"Accept": "text/event-stream", "Idempotency-Key": self.key}
        if self.events:
            headers["Last-Event-ID"] = self.events[-1][2]
        url = f"{self.url}/streams?stream=true"
        with httpx.stream("POST", url, json=BODY, headers=headers, timeout=30) as response:
            # Anything else it takes for a failure, and comes back without end.
            assert response.status_code == 200, response.read()
            assert response.headers["content-type"].startswith("text/event-stream")
            decoder = Decoder()
            for piece in response.iter_bytes():
                for message in decoder.feed(piece):
                    self.events.append((message.name, json.loads(message.data), message.id))


def assert_whole(http: httpx.Client, events: Sequence[tuple[str, Any, str]]) -> None:
    """The events are the stream's, each once, and their text is the log's."""
    stream_id = events[0][2].partition(":")[0]
    ids = [f"{stream_id}:{seq}" for seq in range(len(events))]
    assert [id_ for _, _, id_ in events] == [*ids[:-1], f"{ids[-1]}:end"]
    snapshot = http.get(f"/streams/{stream_id}").json()
    for kind in ("answer", "thinking"):
        assert "".join(data["text"] for name, data, _ in events if name == kind) == snapshot[kind]
    assert snapshot["last_event_id"] == events[-1][2]


@pytest.mark.parametrize("how", ["reset", "end"])
def test_each_event_comes_once_though_each_answer_is_cut_behind_its_first(
    served: httpx.Client, key: str, how: How
) -> None:
    """Also the answer that brings the end: the client, which has all, is sent a clean end."""
    with cutting(str(served.base_url), after=itertools.repeat(1), how=how) as proxy:
        client = Fetching(proxy.url, key)
        client.follow()

    assert_whole(served, client.events)
    assert proxy.cuts == len(client.events)


def test_a_client_that_was_cut_before_its_first_event_starts_with_it(
    served: httpx.Client, key: str
) -> None:
    with cutting(str(served.base_url), after=[0, 0, 2]) as proxy:
        client = Fetching(proxy.url, key)
        client.follow()

    assert_whole(served, client.events)
    assert client.cuts == 3


@pytest.mark.prove
def test_each_event_comes_once_over_hand_overs(key: str) -> None:
    """They end the answer properly, and the stream continues."""
    env = {"DEMO_TOKENS": "80", "DEMO_TOKENS_PER_SECOND": "10"}
    with emulator("--timeout", "5", **env) as running:
        client = Fetching(str(running.http.base_url).rstrip("/"), key)
        client.follow()

        assert client.clean_ends > 1
        assert client.cuts == 0
        assert_whole(running.http, client.events)
        assert any(name == "handoff" for name, _, _ in client.events)


@pytest.mark.clients
@pytest.mark.parametrize("how", ["reset", "end"])
def test_the_client_itself_has_each_event_once(served: httpx.Client, key: str, how: How) -> None:
    with cutting(str(served.base_url), after=[0, 1, 2], how=how) as proxy:
        printed = run(FETCHING, proxy.url, key)

    assert_whole(served, [(each["event"], each["data"], each["id"]) for each in printed])
    assert proxy.cuts == 3


@pytest.mark.clients
def test_the_client_itself_ends_where_it_has_all(served: httpx.Client, key: str) -> None:
    """The connection breaks behind the last event: a 204 would bring it back for ever."""
    whole = served.post("/streams?stream=true", json=BODY, headers={"Idempotency-Key": key}).text
    with cutting(str(served.base_url), after=whole.count("event: ")) as proxy:
        printed = run(FETCHING, proxy.url, key)

    assert_whole(served, [(each["event"], each["data"], each["id"]) for each in printed])
    assert len(proxy.requests) == 2


@pytest.mark.parametrize("marked", [True, False])
def test_a_client_that_has_all_is_sent_an_end_without_events(
    served: httpx.Client, key: str, *, marked: bool
) -> None:
    stream_id = derived_id("", key)
    served.post("/streams?stream=true", json=BODY, headers={"Idempotency-Key": key})
    newest = served.get(f"/streams/{stream_id}").json()["last_event_id"]

    answer = post(served, key, newest if marked else newest.removesuffix(":end"))

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.text == "retry: 2000\n"


def assert_refused(answer: httpx.Response, status: int, code: str, hint: str) -> None:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert hint in error["message"]


def test_a_cursor_without_a_key_is_refused(served: httpx.Client) -> None:
    """It would create a stream of its own, whose events are not behind that cursor."""
    for cursor in ("nonsense", f"{'x' * 32}:0"):
        answer = post(served, None, cursor)
        assert_refused(answer, 400, "no_idempotency_key", "send the Idempotency-Key")


@pytest.mark.parametrize(
    ("cursor", "hint"),
    [
        ("nonsense", "malformed"),
        ("{id}:-1", "malformed"),
        ("{id}:99", "beyond"),
        (f"{'x' * 32}:0", "another stream"),
        (f"{'x' * 32}:0:end", "another stream"),
    ],
)
def test_a_bad_cursor_is_refused(served: httpx.Client, key: str, cursor: str, hint: str) -> None:
    served.post("/streams?stream=true", json=BODY, headers={"Idempotency-Key": key})

    answer = post(served, key, cursor.format(id=derived_id("", key)))

    assert_refused(answer, 400, "bad_cursor", hint)


@pytest.mark.parametrize("cursor", ["{id}:0", "{id}:7:end"])
def test_a_key_that_has_made_no_stream_resumes_none_and_makes_none(
    served: httpx.Client, key: str, cursor: str
) -> None:
    stream_id = derived_id("", key)

    answer = post(served, key, cursor.format(id=stream_id))

    assert_refused(answer, 404, "stream_not_found", "POST /streams")
    assert served.get(f"/streams/{stream_id}").status_code == 404


@pytest.mark.parametrize("cursor", ["{id}:0", "{id}:7:end"])
def test_another_request_under_the_key_is_refused(
    served: httpx.Client, key: str, cursor: str
) -> None:
    served.post("/streams?stream=true", json=BODY, headers={"Idempotency-Key": key})

    answer = post(served, key, cursor.format(id=derived_id("", key)), {"prompt": "another"})

    assert_refused(answer, 422, "idempotency_key_reused", "new key")


def test_an_empty_cursor_is_none_and_a_creation_that_is_not_read_needs_none(
    served: httpx.Client, key: str
) -> None:
    assert "event: start" in post(served, key, "").text
    assert post(served, key, "nonsense", query="").status_code == 201
