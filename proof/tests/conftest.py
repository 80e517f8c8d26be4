"""The tests of proof run as tests/plugin.py says, like those of the application."""

from collections.abc import Iterator

import pytest

from local.dynamodb_local import dynamodb_local
from tests import plugin


@pytest.fixture(scope="session")
def dynamodb_local_url() -> Iterator[str]:
    with dynamodb_local() as url:
        yield url


def pytest_configure(config: pytest.Config) -> None:
    # The conftest.py of the other tests may have done it.
    if not config.pluginmanager.is_registered(plugin):
        config.pluginmanager.register(plugin)
