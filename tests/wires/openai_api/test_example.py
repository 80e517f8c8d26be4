"""examples/openai_client.py, whose connections are cut."""

import asyncio
import itertools
import os
import sys

import pytest

from tests.plugin import ROOT
from tests.wires.cutting import cutting
from tests.wires.openai_api.conftest import Serve

pytestmark = pytest.mark.anyio

SECONDS = 60


async def printed(url: str, prompt: str) -> tuple[str, int | None]:
    """The output of the example, and its exit status."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "examples.openai_client", prompt),
        cwd=ROOT,
        env={**os.environ, "OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "unused"},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SECONDS):
        text, _ = await process.communicate()
    return text.decode(), process.returncode


async def test_it_prints_the_answer_however_often_it_is_cut(serve: Serve) -> None:
    async with serve({"DEMO_TOKENS": "12"}) as served:
        whole = await served.openai.responses.create(model="demo", input="hello")
        with cutting(served.url, after=itertools.chain([0], itertools.repeat(3))) as proxy:
            text, status = await printed(proxy.url, "hello")
        assert proxy.cuts > 3
        assert text == f"{whole.output_text}\n"
        assert status == 0
        created = {r.headers.get("idempotency-key") for r in proxy.requests if r.method == "POST"}
        assert len(created) == 1
