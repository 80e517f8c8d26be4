import json

import httpx
import pytest

from tests.local.conftest import Emulate

pytestmark = pytest.mark.anyio


async def test_next_returns_the_event_with_lambdas_headers(emulate: Emulate) -> None:
    async with emulate(timeout=60) as emulator:
        response = await emulator.client.get("/headers")
    headers = response.json()
    assert headers["Aws-Request-Id"] == response.headers["x-amzn-requestid"]
    assert headers["Trace-Id"].startswith(response.headers["x-amzn-trace-id"])
    assert headers["Invoked-Function-Arn"].endswith(":function:StreamFunction")
    assert int(headers["Deadline-Ms"]) > 1_700_000_000_000
    assert headers["Invocation-Id"]
    assert headers["Content-Type"] == "application/json"


async def test_a_prelude_may_arrive_byte_by_byte(emulate: Emulate) -> None:
    async with emulate() as emulator:
        response = await emulator.client.get("/split")
    assert (response.text, response.headers["content-type"]) == ("body", "text/plain")


async def test_a_streamed_answer_of_another_type_is_passed_on_unchanged(emulate: Emulate) -> None:
    async with emulate() as emulator:
        response = await emulator.client.get("/raw")
    assert (response.status_code, response.text) == (200, "a,b")
    assert response.headers["content-type"] == "text/csv"


async def test_a_prelude_without_an_end_is_a_502(emulate: Emulate) -> None:
    async with emulate() as emulator:
        assert (await emulator.client.get("/endless-prelude")).status_code == 502
        (await emulator.gate.expect("status 202"))()
        await emulator.log.seen("Function.InvalidResponse", "16 KiB")


async def test_an_error_before_the_first_byte_is_a_502(emulate: Emulate) -> None:
    async with emulate() as emulator:
        response = await emulator.client.get("/fail")
        assert (response.status_code, response.text) == (502, "Internal Server Error")
        await emulator.log.seen("Function.ValueError: no")
        await emulator.log.seen("REPORT", "Status: error\tError Type: Function.ValueError")
        assert (await emulator.client.get("/pid")).status_code == 200
        assert [each["name"] for each in await emulator.sandboxes()] == ["sandbox-1"]


async def test_an_error_in_the_trailers_cuts_the_connection(emulate: Emulate) -> None:
    async with emulate() as emulator:
        with pytest.raises(httpx.TransportError):
            await emulator.client.get("/fail-late")
        await emulator.log.seen("Function.ValueError: late")


async def test_a_truncated_answer_cuts_the_connection(emulate: Emulate) -> None:
    async with emulate() as emulator, emulator.client.stream("GET", "/truncate") as response:
        chunks = response.aiter_raw()
        proceed = await emulator.gate.expect("one")
        assert await anext(chunks) == b"one "
        proceed()
        with pytest.raises(httpx.TransportError):
            await anext(chunks)
        await emulator.log.seen("Runtime.TruncatedResponse")
        await emulator.log.seen("REPORT", "Status: error")
        await emulator.until(lambda all_: all_[0]["state"] == "dead")


async def test_invalid_calls_get_lambdas_error_statuses(emulate: Emulate) -> None:
    async with emulate() as emulator:
        assert (await emulator.client.get("/misuse")).json() == 1
        word, proceed = await emulator.gate.call()
        statuses = json.loads(word.removeprefix("statuses "))
        # Unknown id, another attempt's id, unknown mode, next before the answer; the answer,
        # a second one, an init error after init, an unknown call.
        assert statuses == [400, 410, 400, 403, 202, 403, 403, 404]
        proceed()
