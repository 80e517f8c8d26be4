"""The cost of a request's body to the process that reads it: no more than it weighs.

Each body goes to a runtime process of its own kind, as Lambda runs it, whose memory and processor
time the kernel counts.
"""

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lambda_stream.runtime_api import NEXT, RuntimeApi, runtime_api
from tests.lambda_stream.sandbox import Sandbox, ours
from tests.store import CREDENTIALS

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
CREATE = json.loads((ROOT / "events/function-url-create.json").read_text())
NAMES = {"Host": "x", "Content-Type": "application/json"}

MEGABYTE = 1_000_000
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """A running runtime, and where it asks for work."""

    api: RuntimeApi
    sandbox: Sandbox

    async def post(self, body: str, **headers: str) -> tuple[int, bytes]:
        """Create a stream with a body: the status, and the answer's body."""
        event = {**CREATE, "body": body, "headers": {**NAMES, **headers}, "isBase64Encoded": False}
        request, answer = await self.api.invoke(event)
        assert request.line.endswith("/response"), answer
        prelude, _, content = answer.partition(b"\0" * 8)
        return json.loads(prelude)["statusCode"], content

    async def idle(self) -> None:
        """Wait until the process asks for the next invocation, and leave it asking."""
        poll = await self.api.request(NEXT)
        self.api.waiting.insert(0, poll)

    def peak(self) -> int:
        """The most memory that it has held since `forget_peak`, in bytes."""
        status = Path(f"/proc/{self.sandbox.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self.sandbox.pid}/clear_refs").write_text("5")

    def busy(self) -> float:
        """The processor time that it has used, in seconds."""
        fields = Path(f"/proc/{self.sandbox.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


@asynccontextmanager
async def running(**environ: str) -> AsyncIterator[Process]:
    settings = {**CREDENTIALS, "TABLE_NAME": "none", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    async with (
        runtime_api() as api,
        ours(api, "app.main.handler", ROOT / "src", **settings, **environ) as sandbox,
    ):
        process = Process(api, sandbox)
        status, _ = await process.post('{"prompt":')
        assert status in {401, 422}
        await process.idle()
        yield process


def messages(member: str) -> str:
    return json.dumps({"messages": [json.loads(member)] * 1_000})


# The first are those that an attack has found, with their cost at the time.
BODIES: dict[str, Callable[[], str]] = {
    "100 KB of stop sequences: 2.4 MB": lambda: _stop(50_000),
    "400 KB: 9.9 MB": lambda: _stop(200_000),
    "700 KB: 17.4 MB": lambda: _stop(350_000),
    "800 KB: 550 MB of memory": lambda: _stop(400_000),
    "4.4 MB: 2,645 MB of memory": lambda: _stop(2_200_000),
    "4.7 MB of unknown members: 19.7 MB": lambda: _members(440_000),
    "4 MB, a long name: 4 MB": lambda: json.dumps({"prompt": "x", "n" * 4_000_000: 1}),
    "800 KB of unknown members": lambda: _members(60_000),
    "800 KB, a long name": lambda: json.dumps({"prompt": "x", "n" * 800_000: 1}),
    "800 KB of members without a value": lambda: '{"":0,' * 1 + '"":0,' * 150_000 + '"a":0}',
    "800 KB of lists": lambda: '{"prompt":[' + "[]," * 260_000 + "1]}",
    "800 KB of wrong messages": lambda: '{"messages":[' + "1," * 400_000 + "1]}",
    "messages of unknown members": lambda: messages(
        "{" + ",".join(f'"{n:x}":1' for n in range(90)) + "}"
    ),
    "a prompt of 800 KB": lambda: json.dumps({"prompt": "x" * 800_000}),
    "a model of 800 KB": lambda: json.dumps({"prompt": "x", "model": "m" * 800_000}),
    "stop sequences of 200 KB": lambda: json.dumps({"prompt": "x", "stop": ["m" * 200_000] * 4}),
}


def _stop(items: int) -> str:
    return '{"prompt":"x","stop":[' + ",".join(["1"] * items) + "]}"


def _members(count: int) -> str:
    return '{"prompt":"x",' + ",".join(f'"m{n}":1' for n in range(count)) + "}"


@pytest.mark.alone
@pytest.mark.timeout(240)
async def test_a_body_costs_little_memory_little_time_and_a_short_answer() -> None:
    """At most 64 MB above idle, 200 ms in which nothing else is done, and 8 KB."""
    async with running() as process:
        process.forget_peak()
        idle = process.peak()
        costs: dict[str, tuple[int, float, int]] = {}
        for name, make in BODIES.items():
            busy = process.busy()
            process.forget_peak()

            status, answer = await process.post(make())

            await process.idle()
            costs[name] = process.peak() - idle, process.busy() - busy, len(answer)
            assert status in {413, 422}, name
        dear = {
            name: cost
            for name, cost in costs.items()
            if cost[0] > 64 * MEGABYTE or cost[1] > 0.2 or cost[2] > 8_000
        }
        print(*costs.items(), sep="\n")  # noqa: T201 - pytest shows it when the test fails
        assert not dear


@pytest.mark.access
@pytest.mark.alone
async def test_a_body_is_not_parsed_for_a_stranger() -> None:
    """It is the token that is looked at first: nothing is told of the body, or spent on it."""
    tokens = json.dumps({"default": "t" * 32})
    async with running(API_TOKENS=tokens) as process:
        busy = process.busy()
        for shown in ({}, {"Authorization": "Bearer wrong"}):
            for body in ("no JSON", _stop(300_000), _stop(2_000_000)):
                status, answer = await process.post(body, **shown)
                assert (status, json.loads(answer)["error"]["code"]) == (401, "unauthorized")
        shown = {"Authorization": f"Bearer {'t' * 32}"}
        for body, expected in (("no JSON", 422), (_stop(2_000_000), 413)):
            status, answer = await process.post(body, **shown)
            assert status == expected
        assert process.busy() - busy < 1


async def told(process: Process, body: Any) -> str:
    """The message that refuses a body."""
    status, answer = await process.post(json.dumps(body))
    assert status == 422, answer
    message: str = json.loads(answer)["error"]["message"]
    return message


async def test_at_most_five_problems_are_told_and_no_name_at_length() -> None:
    async with running() as process:
        wrong = {"model": 1, "max_tokens": "x", "temperature": "x", "system": 1, "stop": 1}
        message = await told(process, {"prompt": 1, **wrong, "n" * 5_000: 1})
        assert message.count("; ") == 5
        assert message.endswith("and 2 more.")

        message = await told(process, {"prompt": "x", "n" * 5_000: 1})
        assert f"body.{'n' * 90}" in message
        assert "n" * 101 not in message

        message = await told(process, {"prompt": "x", "\ud83d": 1})
        assert "unicode" in message

        message = await told(process, {f"m{n}": 1 for n in range(50)})
        assert "at most" in message
        assert "m20" not in message


async def test_a_body_that_is_too_large_is_told_how_large_one_may_be() -> None:
    async with running() as process:
        status, answer = await process.post(json.dumps({"prompt": "x" * 5_000_000}))

    assert (status, json.loads(answer)["error"]["code"]) == (413, "body_too_large")
    assert "862144 bytes" in answer.decode()


async def test_the_largest_prompt_may_come_in_its_longest_form() -> None:
    """Six bytes of JSON for each of its own; and its conversation may have a thousand turns."""
    async with running() as process:
        turns = [{"role": "user", "content": "\x01" * 100}] * 999
        body = json.dumps({"messages": turns, "prompt": "a"}, indent=4)
        assert "either" in await told(process, json.loads(body))
        status, answer = await process.post(body)

    assert status == 422
    assert "either" in json.loads(answer)["error"]["message"]
