"""The routes, in this process: whom they let in, and the shape of their errors."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app import parts
from app.agents import agent
from app.application import create_app
from app.events import Answer
from app.models.demo import DemoProvider
from app.settings import PromptLimits, Settings
from app.task import Task
from durable_stream.dynamodb import DynamoDBStore
from tests.app.serving import served

pytestmark = pytest.mark.anyio

BODY = {"model": "demo", "input": "hello"}
CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
CREATING = [("/v1/responses", BODY), ("/v1/chat/completions", CHAT)]


@agent(resume="continue")
async def half(_: Task) -> Any:
    """Leave half a surrogate pair."""
    yield Answer("a\ud83d")


@pytest.fixture
async def http(log: DynamoDBStore) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(table_name=log._table.name, prompts=PromptLimits(max_prompt_bytes=1_000))
    app = create_app(
        settings,
        DemoProvider(tokens=3, tokens_per_second=1000, first_token_seconds=0),
        agents=[half],
        wires=parts.WIRES,
    )
    async with served(app) as client:
        yield client


def error(answer: httpx.Response) -> dict[str, Any]:
    told: dict[str, Any] = answer.json()["error"]
    assert set(told) == {"message", "type", "code", "param"}
    assert answer.headers["x-request-id"]
    return told


@pytest.mark.parametrize(("path", "body"), CREATING)
async def test_a_page_of_another_site_creates_nothing(
    http: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    answer = await http.post(path, json=body, headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, error(answer)["code"]) == (403, "cross_site")


@pytest.mark.parametrize("path", [path for path, _ in CREATING])
@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'"a"', b""])
async def test_a_body_that_is_no_object_is_refused(
    http: httpx.AsyncClient, path: str, content: bytes
) -> None:
    answer = await http.post(path, content=content)
    assert (answer.status_code, error(answer)["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(("path", "body"), CREATING)
async def test_a_prompt_that_is_too_large_is_refused(
    http: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    long = "a" * 2_000
    members = (
        {"input": long} if "input" in body else {"messages": [{"role": "user", "content": long}]}
    )
    answer = await http.post(path, json=body | members)
    assert (answer.status_code, error(answer)["code"]) == (413, "prompt_too_large")
    answer = await http.post(path, content=b" " * 1_000_000)
    assert (answer.status_code, error(answer)["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(("path", "body"), CREATING)
async def test_a_key_of_the_wrong_form_is_refused(
    http: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    answer = await http.post(path, json=body, headers={"Idempotency-Key": "short"})
    assert (answer.status_code, error(answer)["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("id_", ["resp_short", "resp_" + "x" * 32, "x", "resp_resp_" + "x" * 32])
async def test_an_unknown_response_is_not_found(http: httpx.AsyncClient, id_: str) -> None:
    path = f"/v1/responses/{id_}"
    answers = [
        await http.get(path),
        await http.get(path, params={"stream": "true"}),
        await http.post(f"{path}/cancel"),
        await http.delete(path),
        await http.get(f"{path}/input_items"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 5
    assert {error(answer)["code"] for answer in answers} == {"response_not_found"}


async def test_a_cursor_that_is_no_number_is_refused(http: httpx.AsyncClient) -> None:
    created = (await http.post("/v1/responses", json=BODY)).json()
    answer = await http.get(f"/v1/responses/{created['id']}", params={"starting_after": "a"})
    assert (answer.status_code, error(answer)["code"]) == (400, "invalid_request")


async def test_half_a_surrogate_pair_is_answered_as_text(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/responses", json=BODY)
    assert response.json()["output"][0]["content"][0]["text"] == "a\ufffd"
    completion = await http.post("/v1/chat/completions", json=CHAT)
    assert completion.json()["choices"][0]["message"]["content"] == "a\ufffd"


async def test_any_content_type_is_json(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/v1/responses",
        content=b'{"model":"demo","input":"hello"}',
        headers={"Content-Type": "text/plain"},
    )
    assert answer.json()["status"] == "completed"
