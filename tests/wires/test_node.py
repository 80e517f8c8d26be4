"""Scripts in Node: their values come out, and no failure goes unseen."""

import time
from pathlib import Path

import pytest

from tests.wires.node import NodeFailed, run, running

pytestmark = [pytest.mark.clients, pytest.mark.anyio]

# The newest Node that a client asks for: eventsource 5 does.
NEEDED = (22, 12)
CLIENTS = (
    "@ag-ui/client",
    "@ag-ui/core",
    "@ai-sdk/react",
    "@ai-sdk/workflow/client",
    "@microsoft/fetch-event-source",
    "ai",
    "eventsource",
    "openai",
)


def script(folder: Path, text: str) -> Path:
    path = folder / "script.mjs"
    path.write_text(text)
    return path


def test_a_script_imports_each_client_by_its_name(tmp_path: Path) -> None:
    text = """
        for (const name of process.argv.slice(2)) {
            const names = Object.keys(await import(name));
            console.log(JSON.stringify([name, names.length > 0]));
        }
        console.log(JSON.stringify(process.versions.node));
    """

    *imported, version = run(script(tmp_path, text), *CLIENTS)

    assert imported == [[name, True] for name in CLIENTS]
    assert tuple(map(int, version.split("."))) >= NEEDED


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Promise.reject(new Error('nobody waits'))", "nobody waits"),
        ("throw new Error('thrown')", "thrown"),
        ("console.error('a word'); process.exit(3)", "exit status 3\na word"),
        ("console.log('no JSON')", "not JSON\nno JSON"),
        ("console.log('[]'); setInterval(() => {}, 1000)", "not done in 1 s"),
        ("import 'nothing-of-this-name'", "ERR_MODULE_NOT_FOUND"),
    ],
)
async def test_a_failure_of_a_script_is_told(text: str, told: str, tmp_path: Path) -> None:
    path = script(tmp_path, text)

    with pytest.raises(NodeFailed) as failure:
        run(path, timeout=1)
    async with running(path, timeout=1) as node:
        with pytest.raises(NodeFailed) as failure_while_running:
            await node.rest()

    assert told in str(failure.value)
    assert told in str(failure_while_running.value)


async def test_a_test_acts_while_a_script_runs(tmp_path: Path) -> None:
    text = """
        import { existsSync } from "node:fs";
        console.log(JSON.stringify("begun"));
        while (!existsSync(process.argv[2])) await new Promise((done) => setTimeout(done, 10));
        console.log(JSON.stringify({ text: "x".repeat(1e6) }));
    """

    async with running(script(tmp_path, text), tmp_path / "acted") as node:
        assert await node.next() == "begun"
        (tmp_path / "acted").touch()
        assert await node.rest() == [{"text": "x" * 1_000_000}]


async def test_a_value_that_does_not_come_is_a_failure(tmp_path: Path) -> None:
    async with running(script(tmp_path, "console.error('a word')")) as node:
        with pytest.raises(NodeFailed, match="ended without another value\na word"):
            await node.next()


async def test_a_script_ends_with_its_block(tmp_path: Path) -> None:
    began = time.monotonic()

    async with running(script(tmp_path, "setInterval(() => {}, 1000)")) as node:
        pass

    assert node.process.returncode is not None
    assert time.monotonic() - began < 10
