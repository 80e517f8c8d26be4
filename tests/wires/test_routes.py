"""The routes of a wire: bodies of any content type, and errors in the shape of the wire."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, StrictStr
from starlette.responses import PlainTextResponse, Response

from app.api import errors
from app.api.deps import public
from app.application import create_app
from app.exceptions import RequestRefused, Unauthorized
from app.gate import Credentials, OpenGate
from app.models.demo import DemoProvider
from app.settings import Settings
from app.wires import bodies, routes
from durable_stream import StreamNotFound
from durable_stream.dynamodb import DynamoDBStore
from tests.app.serving import served

pytestmark = pytest.mark.anyio

TOKEN = "t" * 32
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Question(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: StrictStr


class OneToken(OpenGate):
    """Lets one caller create streams."""

    async def creator(self, credentials: Credentials) -> str:
        if credentials.bearer != TOKEN:
            raise Unauthorized
        return "owner"


def shape(told: errors.Told) -> Response:
    return PlainTextResponse(f"{told.code}|{told.param}", told.status, told.headers)


def wire() -> list[APIRouter]:
    creating = APIRouter(prefix="/wire", route_class=routes.creating(shape))
    plain = APIRouter(prefix="/wire", route_class=routes.plain(shape))

    @creating.post("/ask")
    async def ask(request: Request) -> str:
        return (await bodies.parsed(request, Question)).text

    @plain.get("/missing")
    @public
    async def missing() -> None:
        raise StreamNotFound

    @plain.get("/refused")
    @public
    async def refused() -> None:
        raise RequestRefused(400, "wrong", "Wrong: mend it.", "text")

    @plain.get("/private")
    async def private() -> None: ...

    return [creating, plain]


@pytest.fixture
async def http(log: DynamoDBStore) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(table_name=log._table.name)
    async with served(
        create_app(settings, DemoProvider(), gate=OneToken(), wires=wire())
    ) as client:
        yield client


@pytest.mark.parametrize("kind", ["application/json", "text/plain;charset=UTF-8", ""])
async def test_a_body_is_json_whatever_its_content_type_says(
    http: httpx.AsyncClient, kind: str
) -> None:
    headers = BEARER | ({"Content-Type": kind} if kind else {})

    answered = await http.post("/wire/ask", content='{"text": "hello"}', headers=headers)

    assert answered.json() == "hello"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", "invalid_json|None"),
        ("{", "invalid_json|None"),
        ("[" * 100_000, "invalid_json|None"),
        ("[]", "invalid_json|None"),
        ("{}", "invalid_request|text"),
        ('{"text": 1}', "invalid_request|text"),
        ('{"text": "hello", "more": 1}', "invalid_request|more"),
    ],
)
async def test_a_body_of_another_form_is_refused_by_the_name_of_its_member(
    http: httpx.AsyncClient, body: str, told: str
) -> None:
    answered = await http.post("/wire/ask", content=body, headers=BEARER)

    assert (answered.status_code, answered.text) == (400, told)


async def test_a_caller_without_a_token_is_refused_before_the_body_is_looked_at(
    http: httpx.AsyncClient,
) -> None:
    for answered in (
        await http.post("/wire/ask", content="{"),
        await http.get("/wire/private"),
    ):
        assert (answered.status_code, answered.text) == (401, "unauthorized|None")
        assert answered.headers["www-authenticate"] == "Bearer"


async def test_a_body_is_bounded(http: httpx.AsyncClient) -> None:
    answered = await http.post("/wire/ask", content=" " * 10_000_000, headers=BEARER)

    assert (answered.status_code, answered.text) == (413, "body_too_large|None")


async def test_errors_have_the_shape_of_the_wire(http: httpx.AsyncClient) -> None:
    missing, refused = await http.get("/wire/missing"), await http.get("/wire/refused")

    assert (missing.status_code, missing.text) == (404, "stream_not_found|None")
    assert (refused.status_code, refused.text) == (400, "wrong|text")
