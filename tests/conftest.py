"""The application's tests run as tests/plugin.py says."""

import pytest

from tests import plugin
from tests.stack import Stack, transformed


def pytest_configure(config: pytest.Config) -> None:
    # The conftest.py of the other tests may have done it.
    if not config.pluginmanager.is_registered(plugin):
        config.pluginmanager.register(plugin)


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The stack of template.yaml with the default parameters; for tests marked `sam`."""
    return transformed()
