"""The function under the real `sam local start-api`: nothing streams there, and nothing is lost."""

import asyncio
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Page

from app.models.base import Message, Request
from app.models.demo import DemoProvider
from local.ports import free_port
from tests.flows.chat_page import Profile, copied, profile, shows, stream_of, until
from tests.flows.conftest import Function
from tests.plugin import ROOT

# Building takes half a minute, and the first container needs an image of its own.
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.chromium,
    pytest.mark.docker,
    pytest.mark.sam,
    pytest.mark.timeout(300),
]

START_LIMIT = 240
FAREWELL = 40
COMMAND_LIMIT = 120
PATIENCE = 30
ANSWER_LIMIT = 60
TOKENS = 250
PACE = {"DEMO_TOKENS": str(TOKENS), "DEMO_TOKENS_PER_SECOND": "30", "DEMO_FIRST_TOKEN_MS": "0"}
SECRET = "OPENAI_API_KEY=sk-of-a-person"
ENVIRON = {**os.environ, "PATH": f"{ROOT}/.venv-sam/bin:{os.environ['PATH']}"}
TEMPLATE = ".aws-sam/local/build/template.yaml"
PROMPT = "naïve café, 日本語"


@dataclass
class SamLocal:
    """A running `python -m local.sam`, as a person at its terminal sees it."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def told(self, name: str) -> str:
        """Its word behind a name: one line of its summary, or SAM CLI's of its container."""
        (line,) = [line for line in self.lines if line.startswith(name)]
        return line.removeprefix(name).split()[0]


@pytest.fixture(scope="module")
def sam_local() -> Iterator[SamLocal]:
    port = free_port()
    pace = [f"{name}={value}" for name, value in PACE.items()]
    settings = [flag for setting in (*pace, SECRET) for flag in ("--env", setting)]
    command = [sys.executable, "-m", "local.sam", f"--port={port}", "--skip-pull-image", *settings]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=ENVIRON,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        running = SamLocal(process)
        try:
            _read_up_to(running, "Ctrl-C")
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(FAREWELL) == 0
    listed = ["docker", "ps", "--all", "--quiet", "--no-trunc"]
    left = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()
    assert running.told("sam | SAM_CONTAINER_ID:") not in left


def _read_up_to(running: SamLocal, beginning: str) -> None:
    assert running.process.stdout is not None
    read = queue.Queue[str]()

    def copy(lines: Iterator[str]) -> None:
        for line in lines:
            running.lines.append(line)
            read.put(line)
        read.put("")

    threading.Thread(target=copy, args=[running.process.stdout], daemon=True).start()
    while line := read.get(timeout=START_LIMIT):
        if line.startswith(beginning):
            return
    pytest.fail("".join(running.lines))


@pytest.fixture
async def function(sam_local: SamLocal) -> AsyncIterator[Function]:
    url = sam_local.told("page")
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as http:
        yield Function(http, sam_local.lines, sam_local.told("dynamodb"))


@pytest.fixture
async def person() -> AsyncIterator[Profile]:
    async with profile() as person:
        yield person


def said_by_the_demo() -> str:
    provider = DemoProvider(tokens=TOKENS)
    request = Request(messages=(Message("user", PROMPT),), model="demo", max_tokens=TOKENS)
    return "".join(provider.script(request).answer)


async def opened(person: Profile, function: Function) -> Page:
    page = await person.open(function)
    page.set_default_timeout(ANSWER_LIMIT * 1000)
    return page


async def asked(page: Page) -> str:
    """The path of the stream that was made of a prompt typed into the page."""
    await page.get_by_test_id("prompt").fill(PROMPT)
    await page.keyboard.press("Enter")
    await until(page, "() => location.search.includes('stream=')")
    return f"/streams/{stream_of(page)}"


async def logged(function: Function, path: str) -> tuple[str, list[str]]:
    """The whole answer as the log has it, and the kinds of all its events in order."""
    snapshot: dict[str, Any] = (await function.http.get(path)).json()
    events = (await function.http.get(f"{path}/events")).text
    kinds = [line[7:] for line in events.splitlines() if line.startswith("event: ")]
    return snapshot["answer"], kinds


async def ran(*command: str, folder: Path = ROOT) -> bytes:
    """The output of a command, once it has succeeded."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=ENVIRON, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(COMMAND_LIMIT):
        said, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return said


WATCH = """element => {
  window.grownAt = [];
  new MutationObserver(() => window.grownAt.push(performance.now()))
    .observe(element, { childList: true, characterData: true, subtree: true });
}"""


async def steps(page: Page) -> int:
    """The number of times the answer grew after it had stood still for a third of a second."""
    grown_at: list[float] = await page.evaluate("() => window.grownAt")
    return sum(
        later - sooner > 300 for sooner, later in zip([0, *grown_at], grown_at, strict=False)
    )


async def test_an_answer_of_ten_seconds_comes_in_steps_and_exactly(
    function: Function, person: Profile
) -> None:
    """The responses end, and the generation goes on between them: no take-over is needed."""
    page = await opened(person, function)
    await page.get_by_test_id("turns").evaluate(WATCH)
    path = await asked(page)
    await shows(page, "finished")
    answer, kinds = await logged(function, path)
    assert answer == said_by_the_demo()
    assert await copied(page) == answer
    assert await steps(page) >= 5
    assert kinds.count("claim") == 1, "the one of its first reader"
    assert kinds[-1] == "done"


async def test_a_killed_container_is_taken_over_from_in_mid_answer(
    function: Function, person: Profile, sam_local: SamLocal
) -> None:
    page = await opened(person, function)
    path = await asked(page)
    await until(page, "() => document.querySelector('[data-testid=answer]')?.textContent")
    await ran("docker", "kill", sam_local.told("sam | SAM_CONTAINER_ID:"))
    await shows(page, "finished")
    answer, kinds = await logged(function, path)
    assert answer == said_by_the_demo()
    assert await copied(page) == answer
    assert kinds.count("claim") == 2


async def test_requests_that_come_at_once_are_all_answered(function: Function) -> None:
    """One container takes them one after another, and a reader holds it for a second only."""
    created = await function.create(PROMPT)
    async with asyncio.timeout(PATIENCE):
        answers = await asyncio.gather(
            *(function.http.get(created["events_url"]) for _ in range(3)),
            *(function.http.get(path) for path in ("/", "/healthz", created["url"])),
        )
    assert {answer.status_code for answer in answers} == {httpx.codes.OK}


async def test_an_event_from_a_file_is_answered(sam_local: SamLocal) -> None:
    """By the same package and table, in a container of its own; here as from a function URL."""
    assert sam_local.process.poll() is None
    command = ["sam", "local", "invoke", "--template-file", TEMPLATE, "--skip-pull-image"]
    answer = json.loads(await ran(*command, "--event", "events/function-url-create.json"))
    assert answer["statusCode"] == httpx.codes.CREATED


async def test_by_hand_it_starts_on_this_machine_and_says_what_brings_a_table(
    tmp_path: Path,
) -> None:
    """`sam build` and `sam local invoke` as SAM CLI's users type them, with our samconfig.toml."""
    for name in ("samconfig.toml", "template.yaml", "observability.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "src").symlink_to(ROOT / "src")
    await ran("sam", "build", folder=tmp_path)
    event = str(ROOT / "events/function-url-create.json")
    command = ["sam", "local", "invoke", "--skip-pull-image", "--event", event]

    answer = json.loads(await ran(*command, folder=tmp_path))

    assert "make sam-local" in json.loads(answer["body"])["error"]["message"]


async def test_a_variable_reaches_the_function_and_not_the_disk(sam_local: SamLocal) -> None:
    """SAM CLI finds its value in its environment; among them may be a provider's key."""
    container = sam_local.told("sam | SAM_CONTAINER_ID:")
    name, _, value = SECRET.partition("=")
    assert SECRET in (await ran("docker", "exec", container, "env")).decode().splitlines()
    template = (ROOT / TEMPLATE).read_text()
    assert name in template
    assert value not in template


async def test_a_second_one_does_not_build_under_the_first(sam_local: SamLocal) -> None:
    assert sam_local.process.poll() is None
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "local.sam"), cwd=ROOT, env=ENVIRON, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE):
        _, complaint = await second.communicate()
    assert second.returncode == 1
    assert b"running already" in complaint
