"""The tests run as tests/plugin.py says. Fixtures: the stack, a DynamoDB, and the log on it."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from app.events import EVENTS
from durable_stream import Registry
from durable_stream.dynamodb import DynamoDBStore
from durable_stream.table import Table
from local.dynamodb_local import dynamodb_local
from tests import plugin
from tests.stack import Stack, transformed
from tests.store import (
    CREDENTIALS,
    FaultyStore,
    create_table,
    faulty,
    moto,
    moto_of_everything,
)


def pytest_configure(config: pytest.Config) -> None:
    # The conftest.py of the other tests may have done it.
    if not config.pluginmanager.is_registered(plugin):
        config.pluginmanager.register(plugin)


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The stack of template.yaml with the default parameters; for tests marked `sam`."""
    return transformed()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marked = metafunc.definition.get_closest_marker("both_stores")
    if marked and "dynamodb_url" in metafunc.fixturenames:
        stores = [
            pytest.param("moto_url", id="moto"),
            pytest.param("dynamodb_local_url", id="local", marks=pytest.mark.dynamodb_local),
        ]
        metafunc.parametrize("dynamodb_url", stores, indirect=True)


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    with moto() as url:
        yield url


@pytest.fixture(scope="session")
def dynamodb_local_url() -> Iterator[str]:
    with dynamodb_local() as url:
        yield url


@pytest.fixture
def dynamodb_url(request: pytest.FixtureRequest) -> str:
    """moto's; also DynamoDB Local's where a test is marked `both_stores`."""
    url: str = request.getfixturevalue(getattr(request, "param", "moto_url"))
    return url


@pytest.fixture
async def store(dynamodb_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FaultyStore]:
    """The way from the log to DynamoDB, which can be made to fail."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    async with faulty(dynamodb_url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
        yield proxy


@pytest.fixture
async def log(dynamodb_url: str, store: FaultyStore) -> AsyncIterator[DynamoDBStore]:
    assert store.url, "the log finds its way through the environment"
    table = Table(create_table(dynamodb_url))
    yield DynamoDBStore(table, Registry(EVENTS))
    table.close()


@pytest.fixture(scope="session")
def aws_url() -> Iterator[str]:
    with moto_of_everything() as url:
        yield url


@pytest.fixture
def aws(aws_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An AWS account with nothing in it; its URL."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": aws_url}.items():
        monkeypatch.setenv(name, value)
    httpx.post(f"{aws_url}/moto-api/reset", trust_env=False).raise_for_status()
    return aws_url
