import base64
import json

import httpx
import pytest

from tests.local.conftest import Emulate

pytestmark = pytest.mark.anyio

LIMIT = 6 * 1024 * 1024


async def test_a_request_becomes_the_event_that_the_function_gets(emulate: Emulate) -> None:
    async with emulate() as emulated:
        response = await emulated.client.post(
            "/echo?a=1&a=2", content='{"é": 1}', headers={"content-type": "application/json"}
        )
    event = response.json()
    assert event["requestContext"]["http"]["method"] == "POST"
    assert event["queryStringParameters"] == {"a": "1,2"}
    assert json.loads(event["body"]) == {"é": 1}
    assert response.headers["x-amzn-requestid"] == event["requestContext"]["requestId"]


async def test_chunks_reach_the_client_before_the_function_writes_the_next(
    emulate: Emulate,
) -> None:
    async with emulate() as emulated, emulated.client.stream("GET", "/stream") as response:
        assert response.status_code == 200
        chunks = response.aiter_raw()
        let_on = await emulated.gate.expect("one")
        assert await anext(chunks) == b"one "
        let_on()
        let_on = await emulated.gate.expect("two")
        assert await anext(chunks) == b"two "
        let_on()
        assert [chunk async for chunk in chunks] == []
