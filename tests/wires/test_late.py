"""Routes that are imported late are the same routes."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from types import ModuleType

import httpx
import pytest
from fastapi import APIRouter
from fastapi.routing import iter_route_contexts

from app import parts
from app.api.deps import public
from app.application import create_app
from app.exceptions import Unauthorized
from app.gate import Credentials, OpenGate
from app.models.demo import DemoProvider
from app.settings import Settings
from app.wires.late import LateRouter
from durable_stream.dynamodb import DynamoDBStore
from tests.app.serving import served
from tests.plugin import ROOT

pytestmark = pytest.mark.anyio

IMPORTED = """\
import sys
import app.main
print(*(name for name in sys.modules if name.startswith("app.wires.")))
"""


class NobodyMay(OpenGate):
    """Lets no caller create streams."""

    async def creator(self, credentials: Credentials) -> str:  # noqa: ARG002
        raise Unauthorized


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> LateRouter:
    inner = APIRouter(prefix="/late")

    @inner.get("/public/{name}")
    @public
    async def shown(name: str) -> str:
        return name

    @inner.get("/private")
    async def private() -> None: ...

    module = ModuleType("late_wire")
    module.router = inner  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "late_wire", module)
    return LateRouter("/late", "late_wire:router")


@pytest.fixture
async def http(log: DynamoDBStore, late: LateRouter) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(table_name=log._table.name)
    app = create_app(settings, DemoProvider(), gate=NobodyMay(), wires=[late])
    async with served(app) as client:
        yield client


def test_the_application_imports_no_wire() -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "TABLE_NAME": "t"}
    region = {"AWS_DEFAULT_REGION": "us-east-1"}

    ran = subprocess.run(
        [sys.executable, "-c", IMPORTED],
        env=environ | region,
        check=True,
        capture_output=True,
        text=True,
    )

    assert set(ran.stdout.split()) <= {"app.wires.late"}


async def test_the_first_request_for_a_path_imports_its_routes(
    http: httpx.AsyncClient, late: LateRouter
) -> None:
    page = await http.get("/")
    before = list(late.routes)
    first, second = await http.get("/late/public/1"), await http.get("/late/public/2")

    assert page.status_code == 200
    assert before == []
    assert (first.json(), second.json()) == ("1", "2")


async def test_a_stranger_is_refused_as_elsewhere(http: httpx.AsyncClient) -> None:
    assert (await http.get("/late/private")).status_code == 401


async def test_a_path_or_method_that_is_not_there_is_told_as_elsewhere(
    http: httpx.AsyncClient,
) -> None:
    assert (await http.get("/late/none")).status_code == 404
    assert (await http.post("/late/public/1")).status_code == 405
    assert (await http.get("/elsewhere/late")).status_code == 404


async def test_routes_that_come_late_leave_the_openapi_document_as_it_was(
    http: httpx.AsyncClient,
) -> None:
    before = (await http.get("/openapi.json")).json()
    assert (await http.get("/late/public/1")).status_code == 200
    after = (await http.get("/openapi.json")).json()

    assert after == before


def test_each_listed_wire_is_imported_by_a_path_of_its_own() -> None:
    """A prefix that no route has would leave its wire out."""
    for wire in parts.WIRES:
        assert isinstance(wire, LateRouter)
        wire.load()
        paths = [route.path for route in iter_route_contexts(wire.routes)]
        assert paths
        assert all((path or "").startswith(wire.path_prefix) for path in paths)
