"""`src/bootstrap` under AWS's own Runtime Interface Emulator, which is part of SAM CLI.

The emulator serves Lambda's Runtime API, but returns a response only when it is complete: these
tests prove the framing, not the timing. It has Lambda's two modes:

* on demand, one invocation at a time, any command as the runtime;
* managed instances, N at a time (`AWS_LAMBDA_MAX_CONCURRENCY`). This mode only starts
  /var/task/bootstrap, as a user of its own, so these tests need root and a private /var.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any

import httpx
import pytest

from local.ports import free_port

ROOT = Path(__file__).parents[2]
BOOTSTRAP = ROOT / "src/bootstrap"
STREAM_ID = "q3Zt8K1vXw0bYfJ7mR2sNcLhEa5DuG_p"
DELIMITER = b"\0" * 8

pytestmark = [
    pytest.mark.sam,
    pytest.mark.skipif(sys.platform != "linux", reason="the emulator is a Linux program"),
]


class Emulator:
    """A client of a running emulator."""

    def __init__(self, port: int) -> None:
        # Only connecting is retried, while the emulator is still starting.
        self._client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            transport=httpx.HTTPTransport(retries=5),
            timeout=30,
        )

    def invoke(self, event: object) -> httpx.Response:
        """Invoke the function, and retry for 10 s while no worker polls for an invocation.

        On demand the emulator makes a caller wait; managed instances refuse, as on Lambda.
        """
        deadline = time.monotonic() + 10
        while True:
            response = self._client.post("/2015-03-31/functions/function/invocations", json=event)
            if b"Runtime.Unavailable" not in response.content or time.monotonic() > deadline:
                return response

    def close(self) -> None:
        self._client.close()


@contextmanager
def start(command: list[str], runtime: list[str], **environ: str) -> Iterator[Emulator]:
    """Run the emulator `command`, which starts `runtime`; its last part is the handler."""
    runtime_api, port = free_port(), free_port()
    arguments = [
        f"--runtime-api-address=127.0.0.1:{runtime_api}",
        f"--runtime-interface-emulator-address=127.0.0.1:{port}",
    ]
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parent),
        "LAMBDA_TASK_ROOT": str(ROOT / "src"),
        "_HANDLER": runtime[-1],
        **environ,
    }
    process = subprocess.Popen([*command, *arguments, *runtime], env=environ)
    emulator = Emulator(port)
    try:
        yield emulator
    finally:
        emulator.close()
        process.terminate()
        process.wait(timeout=10)


def emulator_path() -> str:
    architecture = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"
    [path] = ROOT.glob(
        f".venv-sam/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{architecture}"
    )
    return str(path)


@contextmanager
def on_demand(handler: str, **environ: str) -> Iterator[Emulator]:
    runtime = [str(BOOTSTRAP), sys.executable, handler]
    with start([emulator_path()], runtime, **environ) as emulator:
        yield emulator


@contextmanager
def managed_instance(handler: str, var: Path, concurrency: int) -> Iterator[Emulator]:
    """Run an emulator with `var` as its /var, and the runtime in the task folder there.

    The runtime's user may read all that root may, since this Python may be installed anywhere.
    """
    bootstrap = var / "task/bootstrap"
    bootstrap.parent.mkdir(parents=True)
    source, python = quote(str(ROOT / "src")), quote(sys.executable)
    bootstrap.write_text(f"#!/bin/sh\nLAMBDA_TASK_ROOT={source} exec {source}/bootstrap {python}\n")
    bootstrap.chmod(0o755)
    command = [
        *("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /var && exec "$@"', str(var)),
        *("setpriv", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
        *("--securebits=+no_setuid_fixup", emulator_path()),
    ]
    limit = {"AWS_LAMBDA_MAX_CONCURRENCY": str(concurrency)}
    with start(command, ["bootstrap", handler], **limit) as emulator:
        yield emulator


def mounts() -> bool:
    """Return True if this process may create a mount namespace."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("setpriv") is None:
        return False
    probe = ["unshare", "--mount", "mount", "--bind", "/tmp", "/var"]  # noqa: S108
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0


needs_mounts = pytest.mark.skipif(not mounts(), reason="needs root, to show the emulator a /var")


def event(name: str, path: str | None = None) -> dict[str, Any]:
    """Load one of events/, with another path if one is given."""
    loaded: dict[str, Any] = json.loads((ROOT / f"events/{name}.json").read_text())
    if path is not None:
        loaded["rawPath"] = loaded["requestContext"]["http"]["path"] = path
    return loaded


def split(response: httpx.Response) -> tuple[dict[str, Any], bytes]:
    """Split a streamed response into prelude and body."""
    prelude, delimiter, body = response.content.partition(DELIMITER)
    assert delimiter, response.content
    return json.loads(prelude), body


def event_stream(after: str | None) -> str:
    events = [f"data: é{seq}\nid: {STREAM_ID}:{seq}\n\n" for seq in range(3)]
    return f"after: {after}\n" + "".join(events)


@pytest.mark.parametrize(
    ("name", "after"), [("function-url-read", None), ("function-url-resume", f"{STREAM_ID}:7")]
)
def test_a_streamed_response_is_prelude_then_eight_nuls_then_body(
    name: str, after: str | None
) -> None:
    with on_demand("emulator_functions.streaming") as emulator:
        prelude, body = split(emulator.invoke(event(name)))

    content_type = "text/event-stream; charset=utf-8"
    assert prelude == {"statusCode": 200, "headers": {"content-type": content_type}}
    assert body == event_stream(after).encode()


@pytest.mark.parametrize("name", ["function-url-create", "rest-create"])
def test_body_and_cookies_pass_through_every_source_that_streams(name: str) -> None:
    create = event(name)

    with on_demand("emulator_functions.streaming") as emulator:
        prelude, body = split(emulator.invoke(create))

    assert prelude["statusCode"] == 201
    assert [cookie.split(";")[0] for cookie in prelude["cookies"]] == ["first=1", "second=2"]
    assert json.loads(body) == json.loads(create["body"])


@pytest.mark.parametrize("name", ["http-api-read", "alb-read"])
def test_sources_that_cannot_stream_get_one_proxy_result(name: str) -> None:
    with on_demand("emulator_functions.streaming") as emulator:
        result = emulator.invoke(event(name)).json()

    assert (result["statusCode"], result["isBase64Encoded"]) == (200, False)
    assert result["body"] == event_stream(None)


def test_under_sam_local_a_function_url_gets_one_proxy_result_too() -> None:
    with on_demand("emulator_functions.streaming", AWS_SAM_LOCAL="true") as emulator:
        result = emulator.invoke(event("function-url-read")).json()

    assert (result["statusCode"], result["body"]) == (200, event_stream(None))


def test_a_response_without_a_body_ends() -> None:
    with on_demand("emulator_functions.streaming") as emulator:
        prelude, body = split(emulator.invoke(event("function-url-read", "/empty")))

    assert (prelude["statusCode"], body) == (204, b"")


def test_an_event_that_is_not_http_is_answered_by_a_plain_handler() -> None:
    sent = {"detail": ["é", 1, None]}

    with on_demand("emulator_functions.plain") as emulator:
        answer = emulator.invoke(sent).json()

    assert answer["event"] == sent


def test_a_sandbox_serves_further_invocations_after_an_error() -> None:
    with on_demand("emulator_functions.plain") as emulator:
        before = emulator.invoke("one").json()
        error = emulator.invoke("fail").json()
        after = emulator.invoke("two").json()

    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "on request")
    assert after["pid"] == before["pid"]
    assert after["request_id"] != before["request_id"]


def test_a_handler_that_cannot_be_imported_is_an_init_error() -> None:
    with on_demand("emulator_functions.missing") as emulator:
        error = emulator.invoke("one").json()

    assert error["errorType"] == "Runtime.HandlerNotFound"


@needs_mounts
def test_one_process_streams_two_responses_at_once(tmp_path: Path) -> None:
    names = ["alice", "bob"]
    with (
        managed_instance("emulator_functions.streaming", tmp_path, concurrency=2) as emulator,
        ThreadPoolExecutor(len(names)) as callers,
    ):
        events = [event("function-url-read", f"/meets/{name}") for name in names]
        answers = [split(response) for response in callers.map(emulator.invoke, events)]

    names_received, pids = zip(*(body.decode().split() for _, body in answers), strict=True)
    assert list(names_received) == names
    assert len(set(pids)) == 1


@needs_mounts
def test_an_error_after_the_first_byte_is_reported_in_trailers(tmp_path: Path) -> None:
    """The emulator drops trailers on demand, so this needs managed instances."""
    with managed_instance("emulator_functions.streaming", tmp_path, concurrency=1) as emulator:
        broken = emulator.invoke(event("function-url-read", "/breaks"))
        prelude, _ = split(emulator.invoke(event("function-url-read")))

    assert broken.headers["error-type"] == "Function.RuntimeError"
    assert broken.json()["errorMessage"] == "broken off"
    assert prelude["statusCode"] == 200
