import json

import httpx
import pytest

from tests.local.conftest import Emulate

pytestmark = pytest.mark.anyio


async def test_next_brings_the_event_with_lambdas_headers(emulate: Emulate) -> None:
    async with emulate(timeout=60) as emulated:
        response = await emulated.client.get("/headers")
    headers = response.json()
    assert headers["Aws-Request-Id"] == response.headers["x-amzn-requestid"]
    assert headers["Trace-Id"].startswith(response.headers["x-amzn-trace-id"])
    assert headers["Invoked-Function-Arn"].endswith(":function:StreamFunction")
    assert int(headers["Deadline-Ms"]) > 1_700_000_000_000
    assert headers["Invocation-Id"]
    assert headers["Content-Type"] == "application/json"


async def test_a_prelude_may_arrive_byte_by_byte(emulate: Emulate) -> None:
    async with emulate() as emulated:
        response = await emulated.client.get("/split")
    assert (response.text, response.headers["content-type"]) == ("body", "text/plain")


async def test_a_streamed_answer_of_another_type_is_passed_on_as_it_is(emulate: Emulate) -> None:
    async with emulate() as emulated:
        response = await emulated.client.get("/raw")
    assert (response.status_code, response.text) == (200, "a,b")
    assert response.headers["content-type"] == "text/csv"


async def test_a_prelude_without_an_end_is_a_502(emulate: Emulate) -> None:
    async with emulate() as emulated:
        assert (await emulated.client.get("/endless-prelude")).status_code == 502
        (await emulated.gate.expect("status 202"))()
        await emulated.log.seen("Function.InvalidResponse", "16 KiB")


async def test_an_error_before_the_first_byte_is_a_502(emulate: Emulate) -> None:
    async with emulate() as emulated:
        response = await emulated.client.get("/fail")
        assert (response.status_code, response.text) == (502, "Internal Server Error")
        await emulated.log.seen("Function.ValueError: no")
        await emulated.log.seen("REPORT", "Status: error\tError Type: Function.ValueError")
        assert (await emulated.client.get("/pid")).status_code == 200
        assert [each["name"] for each in await emulated.sandboxes()] == ["sandbox-1"]


async def test_an_error_told_in_the_trailers_cuts_the_connection(emulate: Emulate) -> None:
    async with emulate() as emulated:
        with pytest.raises(httpx.TransportError):
            await emulated.client.get("/fail-late")
        await emulated.log.seen("Function.ValueError: late")


async def test_an_answer_that_breaks_off_cuts_the_connection(emulate: Emulate) -> None:
    async with emulate() as emulated, emulated.client.stream("GET", "/truncate") as response:
        chunks = response.aiter_raw()
        let_on = await emulated.gate.expect("one")
        assert await anext(chunks) == b"one "
        let_on()
        with pytest.raises(httpx.TransportError):
            await anext(chunks)
        await emulated.log.seen("Runtime.TruncatedResponse")
        await emulated.log.seen("REPORT", "Status: error")
        await emulated.until(lambda all_: all_[0]["state"] == "dead")


async def test_misuse_is_answered_as_the_platform_answers_it(emulate: Emulate) -> None:
    async with emulate() as emulated:
        assert (await emulated.client.get("/misuse")).json() == 1
        word, let_on = await emulated.gate.call()
        statuses = json.loads(word.removeprefix("statuses "))
        # Unknown id, another attempt's id, unknown mode, next before the answer; the answer,
        # a second one, an init error after init, an unknown call.
        assert statuses == [400, 410, 400, 403, 202, 403, 403, 404]
        let_on()
