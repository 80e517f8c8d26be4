from collections.abc import AsyncIterator

import pytest

from tests.lambda_stream.runtime_api import RuntimeApi, runtime_api


@pytest.fixture
async def api() -> AsyncIterator[RuntimeApi]:
    async with runtime_api() as api:
        yield api
