import asyncio
import base64
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from local.options import PROJECT
from tests.local.conftest import Emulate
from tests.local.processes import PATIENCE

pytestmark = pytest.mark.anyio

LIMIT = 6 * 1024 * 1024


async def test_the_function_gets_a_request_as_an_event(emulate: Emulate) -> None:
    async with emulate() as emulator:
        response = await emulator.client.post(
            "/echo?a=1&a=2", content='{"é": 1}', headers={"content-type": "application/json"}
        )
    event = response.json()
    assert event["requestContext"]["http"]["method"] == "POST"
    assert event["queryStringParameters"] == {"a": "1,2"}
    assert json.loads(event["body"]) == {"é": 1}
    assert response.headers["x-amzn-requestid"] == event["requestContext"]["requestId"]


async def test_a_chunked_upload_that_waits_for_100_continue_arrives_whole(
    emulate: Emulate,
) -> None:
    async def upload() -> AsyncIterator[bytes]:
        yield b"a" * 100_000
        yield b"b"

    async with emulate() as emulator:
        headers = {"expect": "100-continue"}
        response = await emulator.client.post("/echo", content=upload(), headers=headers)
    assert base64.b64decode(response.json()["body"]) == b"a" * 100_000 + b"b"


async def test_chunks_reach_the_client_before_the_function_writes_the_next(
    emulate: Emulate,
) -> None:
    async with emulate() as emulator, emulator.client.stream("GET", "/stream") as response:
        chunks = response.aiter_raw()
        proceed = await emulator.gate.expect("one")
        assert await anext(chunks) == b"one "
        proceed()
        proceed = await emulator.gate.expect("two")
        assert await anext(chunks) == b"two "
        proceed()
        assert [chunk async for chunk in chunks] == []


async def test_buffered_results_are_served(emulate: Emulate) -> None:
    async with emulate() as emulator:
        proxy = await emulator.client.post(
            "/json",
            headers={"content-type": "application/json"},
            json={
                "statusCode": 418,
                "headers": {"Content-Type": "image/png"},
                "cookies": ["a=1", "b=2"],
                "body": base64.b64encode(b"\x89PNG").decode(),
                "isBase64Encoded": True,
            },
        )
        bare = await emulator.client.post("/json", json=["a", {"b": 1}])
    assert (proxy.status_code, proxy.content) == (418, b"\x89PNG")
    assert proxy.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert proxy.headers["content-type"] == "image/png"
    assert (bare.status_code, bare.json()) == (200, ["a", {"b": 1}])


async def test_head_and_204_have_no_body_and_leave_the_connection_usable(emulate: Emulate) -> None:
    async with emulate() as emulator:
        head = await emulator.client.head("/split")
        empty = await emulator.client.get("/empty")
        after = await emulator.client.get("/split")
    assert (head.status_code, head.content) == (200, b"")
    assert (empty.status_code, empty.content) == (204, b"")
    assert after.text == "body"


@pytest.mark.parametrize(
    ("size", "content_type"),
    [(LIMIT + 1, "text/plain"), (LIMIT - 100, "text/plain"), (LIMIT * 3 // 4, "image/png")],
)
async def test_an_event_over_6_mb_is_refused_and_invokes_nothing(
    emulate: Emulate, size: int, content_type: str
) -> None:
    async with emulate() as emulator:
        response = await emulator.client.post(
            "/echo", content=bytes(size), headers={"content-type": content_type}
        )
        assert response.status_code == 413
        assert str(LIMIT) in response.json()["message"]
        assert await emulator.sandboxes() == []


async def test_beyond_the_concurrency_limit_requests_are_throttled(emulate: Emulate) -> None:
    async with emulate(sandboxes=2) as emulator:
        pending = [asyncio.create_task(emulator.client.get("/stream")) for _ in range(2)]
        proceed = [await emulator.gate.expect("one") for _ in pending]
        throttled = await emulator.client.get("/pid")
        assert throttled.status_code == 429
        assert throttled.json()["Reason"] == "ConcurrentInvocationLimitExceeded"
        for each in proceed:
            each()
            (await emulator.gate.expect("two"))()
        assert [(await response).text for response in pending] == ["one two "] * 2
        assert (await emulator.client.get("/pid")).status_code == 200


async def test_a_client_that_disconnects_does_not_end_the_invocation(emulate: Emulate) -> None:
    async with emulate() as emulator:
        async with emulator.client.stream("GET", "/stream"):
            proceed = await emulator.gate.expect("one")
        await emulator.until(lambda all_: not all_[0]["invocations"][0]["client_connected"])
        proceed()
        (await emulator.gate.expect("two"))()
        report = await emulator.log.seen("REPORT")
        assert "Status" not in report
        assert (await emulator.sandbox())["state"] == "idle"


async def test_a_malformed_request_is_answered_400(emulate: Emulate) -> None:
    async with emulate() as emulator:
        url = httpx.URL(emulator.running.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(b"GET / HTTP/1.1\r\nno colon\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()
        await writer.wait_closed()


async def test_a_malformed_request_after_a_head_is_answered_in_full(emulate: Emulate) -> None:
    async with emulate() as emulator:
        url = httpx.URL(emulator.running.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        host = f"Host: {url.netloc.decode()}".encode()
        writer.write(
            b"HEAD /split HTTP/1.1\r\n%b\r\n\r\nG\xc9T / HTTP/1.1\r\n%b\r\n\r\n" % (host, host)
        )
        async with asyncio.timeout(PATIENCE):
            first = await reader.readuntil(b"\r\n\r\n")
            second, body = (await reader.read()).split(b"\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 200 ")
        assert second.startswith(b"HTTP/1.1 400 ")
        assert b"content-length: %d" % len(body) in second.lower()
        assert body
        writer.close()
        await writer.wait_closed()


async def test_the_projects_own_function_runs_in_the_emulator(emulate: Emulate) -> None:
    async with emulate(task_root=PROJECT / "src") as emulator:
        response = await emulator.client.get("/healthz")
    assert (response.status_code, response.json()["status"]) == (200, "ok")
