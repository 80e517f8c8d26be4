import asyncio

import httpx
import pytest

from tests.local.conftest import Emulate
from tests.local.processes import until_stopped

pytestmark = pytest.mark.anyio


async def test_the_list_has_every_sandbox_and_its_invocations(emulate: Emulate) -> None:
    async with emulate() as emulator:
        assert await emulator.sandboxes() == []
        async with emulator.client.stream("GET", "/stream?a=1") as response:
            proceed = await emulator.gate.expect("one")
            sandbox = await emulator.sandbox()
            (invocation,) = sandbox.pop("invocations")
            assert sandbox.pop("pid") > 1
            assert sandbox == {"name": "sandbox-1", "state": "busy"}
            assert 0 <= invocation.pop("elapsed_ms") < 10_000
            assert invocation == {
                "request_id": response.headers["x-amzn-requestid"],
                "method": "GET",
                "path": "/stream",
                "query": "a=1",
                "client_connected": True,
            }
            proceed()
            (await emulator.gate.expect("two"))()


async def test_a_killed_sandbox_cuts_its_clients_and_another_takes_the_next_request(
    emulate: Emulate,
) -> None:
    async with emulate() as emulator:
        async with emulator.client.stream("GET", "/stream") as response:
            chunks = response.aiter_raw()
            assert await anext(chunks) == b"one "
            killed = await emulator.act("kill")
            assert (killed.status_code, killed.json()["state"]) == (200, "dead")
            with pytest.raises(httpx.TransportError):
                await anext(chunks)
        assert (await emulator.client.get("/pid")).status_code == 200
        assert [each["name"] for each in await emulator.sandboxes()] == ["sandbox-1", "sandbox-2"]


async def test_a_sandbox_killed_before_its_answer_gives_a_502(emulate: Emulate) -> None:
    async with emulate() as emulator, httpx.AsyncClient(base_url=emulator.running.url) as other:
        request = emulator.client.build_request("GET", "/hang")
        async with asyncio.TaskGroup() as tasks:
            response = tasks.create_task(emulator.client.send(request))
            await emulator.gate.expect("hanging")
            await other.post("/_local/sandboxes/sandbox-1/kill")
        assert response.result().status_code == 502


async def test_a_frozen_sandbox_stops_until_it_is_thawed(emulate: Emulate) -> None:
    async with emulate() as emulator, emulator.client.stream("GET", "/stream") as response:
        chunks = response.aiter_raw()
        proceed = await emulator.gate.expect("one")
        assert await anext(chunks) == b"one "
        frozen = (await emulator.act("freeze")).json()
        assert frozen["state"] == "frozen"
        await until_stopped(frozen["pid"])
        proceed()
        assert await emulator.pid() != frozen["pid"]
        assert (await emulator.act("thaw")).json()["state"] == "busy"
        (await emulator.gate.expect("two"))()
        assert [chunk async for chunk in chunks] == [b"two "]


async def test_an_idle_sandbox_that_is_thawed_stays_stopped_until_it_has_work(
    emulate: Emulate,
) -> None:
    async with emulate() as emulator:
        pid = await emulator.pid()
        await emulator.until(lambda all_: all_[0]["state"] == "idle")
        await emulator.act("freeze")
        assert (await emulator.act("thaw")).json()["state"] == "idle"
        await until_stopped(pid)
        assert await emulator.pid() == pid


async def test_the_deadline_of_a_frozen_sandbox_still_counts(emulate: Emulate) -> None:
    async with emulate(timeout=3.0) as emulator:
        async with emulator.client.stream("GET", "/stream") as response:
            chunks = response.aiter_raw()
            assert await anext(chunks) == b"one "
            await emulator.act("freeze")
            with pytest.raises(httpx.TransportError):
                await anext(chunks)
        await emulator.log.seen("REPORT", "Status: timeout")


async def test_a_dropped_connection_does_not_end_the_invocation(emulate: Emulate) -> None:
    async with emulate() as emulator:
        async with emulator.client.stream("GET", "/stream") as response:
            chunks = response.aiter_raw()
            assert await anext(chunks) == b"one "
            path = f"/_local/invocations/{response.headers['x-amzn-requestid']}/drop"
            assert (await emulator.client.post(path)).json()["client_connected"] is False
            with pytest.raises(httpx.TransportError):
                await anext(chunks)
            assert (await emulator.client.post(path)).status_code == 409
        (await emulator.gate.expect("one"))()
        (await emulator.gate.expect("two"))()
        assert "Status" not in await emulator.log.seen("REPORT")
        assert (await emulator.client.post(path)).status_code == 404


async def test_an_impossible_command_gets_a_json_error_that_says_why(emulate: Emulate) -> None:
    async with emulate() as emulator:
        await emulator.pid()
        await emulator.act("kill")
        refusals = {
            "kill of a dead one": await emulator.act("kill"),
            "freeze of a dead one": await emulator.act("freeze"),
            "thaw of one that is not frozen": await emulator.act("thaw"),
            "an unknown sandbox": await emulator.act("kill", "sandbox-9"),
            "an unknown verb": await emulator.act("explode"),
        }
    assert {command: refusal.status_code for command, refusal in refusals.items()} == {
        "kill of a dead one": 409,
        "freeze of a dead one": 409,
        "thaw of one that is not frozen": 409,
        "an unknown sandbox": 404,
        "an unknown verb": 404,
    }
    assert refusals["kill of a dead one"].json() == {
        "error": {"code": "wrong_state", "message": "sandbox-1 is dead"}
    }


async def test_the_page_is_served_and_the_function_never_sees_its_paths(emulate: Emulate) -> None:
    async with emulate() as emulator:
        page = await emulator.client.get("/_local")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "https://" not in page.text
        assert await emulator.sandboxes() == []
        assert (await emulator.client.get("/_localhost")).status_code == 502


async def test_a_rebound_host_name_is_not_served(emulate: Emulate) -> None:
    async with emulate() as emulator:
        for path in ("/_local", "/_local/sandboxes", "/pid"):
            refused = await emulator.client.get(path, headers={"host": "attacker.example:3000"})
            assert refused.status_code == 421
            assert refused.json()["error"]["code"] == "foreign_host"
            assert emulator.running.url in refused.json()["error"]["message"]
        assert await emulator.sandboxes() == []
        for host in ("localhost:3000", "127.0.0.1", "[::1]:3000"):
            assert (await emulator.client.get("/pid", headers={"host": host})).status_code == 200


FOREIGN = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"origin": "http://attacker.example"},
    {"origin": "http://localhost:1"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:1", "sec-fetch-site": "cross-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_a_page_of_another_origin_can_neither_control_nor_read(
    emulate: Emulate, headers: dict[str, str]
) -> None:
    async with emulate() as emulator:
        pid = await emulator.pid()
        kill = await emulator.client.post("/_local/sandboxes/sandbox-1/kill", headers=headers)
        look = await emulator.client.get("/_local/sandboxes", headers=headers)
        assert (kill.status_code, look.status_code) == (403, 403)
        assert kill.json()["error"]["code"] == "foreign_origin"
        assert "access-control-allow-origin" not in kill.headers
        assert await emulator.pid() == pid


async def test_the_pages_own_requests_are_served(emulate: Emulate) -> None:
    async with emulate() as emulator:
        await emulator.pid()
        url = emulator.running.url
        for headers in (
            {"origin": url},
            {"origin": url, "sec-fetch-site": "same-origin"},
            {"sec-fetch-site": "none"},
        ):
            seen = await emulator.client.get("/_local/sandboxes", headers=headers)
            assert seen.status_code == 200
            frozen = await emulator.client.post(
                "/_local/sandboxes/sandbox-1/freeze", headers=headers
            )
            assert frozen.status_code == 200
            assert (await emulator.act("thaw")).status_code == 200


async def test_a_link_of_another_site_opens_the_control_page_but_a_frame_does_not(
    emulate: Emulate,
) -> None:
    async with emulate() as emulator:
        page = await emulator.client.get("/_local", headers={"sec-fetch-site": "cross-site"})
    assert page.status_code == 200
    assert page.headers["content-security-policy"] == "frame-ancestors 'none'"
    assert page.headers["x-frame-options"] == "DENY"
