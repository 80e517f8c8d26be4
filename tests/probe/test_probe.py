"""The probe, before paths that do what has been seen between Lambda and a reader."""

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

# A few answers of several seconds each.
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

TOKEN = "a-token-that-nobody-may-see-anywhere"
PROBE_SECONDS = 50

Serve = Callable[..., AbstractAsyncContextManager[str]]


@dataclass(frozen=True)
class Report:
    status: int
    text: str


@pytest.fixture
def serve() -> Serve:
    """A way to run the application; it says so many tokens, so many a second."""

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


def padding_named(report: Report) -> int:
    named = re.search(r"EventPaddingBytes=(\d+)", report.text)
    assert named is not None, report.text
    return int(named[1])


async def test_a_path_that_streams_is_found_to_stream(serve: Serve) -> None:
    async with serve() as url:
        report = await probe(url)

    assert "This path streams" in report.text
    assert "204, over after" in report.text
    assert "exact: 5 events, then" in report.text
    assert report.status == 0


async def test_what_is_held_back_is_measured_and_the_padding_it_names_makes_the_path_stream(
    serve: Serve,
) -> None:
    async with serve(tokens=2_000, pace=250) as url, proxy(url, holding(16_384)) as held:
        before = await probe(held)
    padding = padding_named(before)
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


async def test_a_hundred_thousand_bytes_held_back_are_told_from_a_buffer(serve: Serve) -> None:
    async with serve(tokens=16_000, pace=1_600) as url, proxy(url, holding(100_000)) as held:
        report = await probe(held)

    assert "This path holds small chunks back" in report.text
    assert 100_000 <= padding_named(report) <= 125_000
    assert report.status == 1


async def test_a_path_that_buffers_is_told_from_one_that_holds_small_chunks_back(
    serve: Serve,
) -> None:
    async with serve() as url, proxy(url, BUFFERING) as buffered:
        report = await probe(buffered)

    assert "This path holds everything back" in report.text
    assert "exact: " in report.text
    assert report.status == 1


async def test_an_application_that_knows_it_is_buffered_is_recognised(serve: Serve) -> None:
    async with serve(LAMBDA_STREAM_BUFFERED="1") as url:
        report = await probe(url)

    assert "What serves this path cannot stream" in report.text
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
    ("url", "told"),
    [
        ("example", "is not the URL of a page"),
        ("http://127.0.0.1:1", "cannot be reached"),
    ],
)
async def test_what_is_no_deployment_is_said_in_one_line(url: str, told: str) -> None:
    report = await probe(url)

    assert told in report.text
    assert report.text.count("\n") == 1
    assert report.status == 1
