"""The probe, through proxies that behave as parts between Lambda and a reader have been seen to."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest

import local
from tests.plugin import ROOT
from tests.probe.paths import BUFFERING, HANGING, holding, proxy

# Each test takes a few answers of several seconds.
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

TOKEN = "a-token-that-must-never-be-printed"
PROBE_SECONDS = 50

Serve = Callable[..., AbstractAsyncContextManager[str]]


@dataclass(frozen=True)
class Report:
    status: int
    text: str


@pytest.fixture
def serve() -> Serve:
    """Run the application with a demo answer of so many tokens, at so many a second."""

    @asynccontextmanager
    async def serving(*, tokens: int = 400, pace: int = 100, **env: str) -> AsyncIterator[str]:
        demo = {"DEMO_TOKENS": str(tokens), "DEMO_TOKENS_PER_SECOND": str(pace)}
        options = local.Options(port=0, provider="demo", env={**demo, **env})
        async with local.serve(options, lambda _: None) as running:
            yield running.url

    return serving


async def probe(url: str, *arguments: str, **environ: str) -> Report:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "probe", url, "--max-tokens", "16000", *arguments),
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PROBE_SECONDS):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return Report(process.returncode, output.decode())


def padding_in(report: Report) -> int:
    found = re.search(r"EventPaddingBytes=(\d+)", report.text)
    assert found is not None, report.text
    return int(found[1])


async def test_a_path_that_streams_is_recognised(serve: Serve) -> None:
    async with serve() as url:
        report = await probe(url)

    assert "This path streams" in report.text
    assert "204, ended after" in report.text
    assert "exact: 5 events, then" in report.text
    assert report.status == 0


async def test_the_padding_that_the_probe_recommends_makes_a_path_stream(serve: Serve) -> None:
    async with serve(tokens=2_000, pace=250) as url, proxy(url, holding(16_384)) as held:
        before = await probe(held)
    padding = padding_in(before)
    async with (
        serve(EVENT_PADDING_BYTES=str(padding)) as url,
        proxy(url, holding(16_384)) as held,
    ):
        after = await probe(held)

    assert "This path holds small chunks back" in before.text
    assert before.status == 1
    assert 16_384 <= padding <= 1.25 * 16_384
    assert "This path streams" in after.text
    assert after.status == 0


async def test_a_path_that_holds_100_kb_back_is_not_taken_for_a_buffer(serve: Serve) -> None:
    async with serve(tokens=16_000, pace=1_600) as url, proxy(url, holding(100_000)) as held:
        report = await probe(held)

    assert "This path holds small chunks back" in report.text
    assert 100_000 <= padding_in(report) <= 125_000
    assert report.status == 1


async def test_a_path_that_buffers_is_recognised(serve: Serve) -> None:
    async with serve() as url, proxy(url, BUFFERING) as buffered:
        report = await probe(buffered)

    assert "This path buffers" in report.text
    assert "exact: " in report.text
    assert report.status == 1


async def test_an_application_that_knows_it_is_buffered_is_recognised(serve: Serve) -> None:
    async with serve(LAMBDA_STREAM_BUFFERED="1") as url:
        report = await probe(url)

    assert "This path cannot stream" in report.text
    assert report.status == 1


async def test_a_response_without_a_body_that_never_ends_is_found(serve: Serve) -> None:
    async with serve(tokens=20) as url, proxy(url, HANGING) as hanging:
        report = await probe(hanging, "--patience", "6")

    assert report.text.count("A response did not end (no body") == 2
    assert report.status == 1


@pytest.mark.access
async def test_the_token_is_sent_and_never_printed(serve: Serve) -> None:
    async with serve(API_TOKENS=json.dumps({"probe": TOKEN})) as url:
        stranger = await probe(url, API_TOKEN="")
        known = await probe(url, API_TOKEN=TOKEN)

    assert "set API_TOKEN" in stranger.text
    assert stranger.status == 1
    assert "This path streams" in known.text
    assert known.status == 0
    assert TOKEN not in known.text


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("example", "is not the URL of a page"),
        ("http://127.0.0.1:1", "cannot be reached"),
    ],
)
async def test_a_url_without_a_deployment_gives_an_error_of_one_line(
    url: str, message: str
) -> None:
    report = await probe(url)

    assert message in report.text
    assert report.text.count("\n") == 1
    assert report.status == 1
