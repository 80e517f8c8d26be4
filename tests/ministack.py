"""MiniStack: AWS as another project understands it, in a process of its own (`make peers`)."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from local.ports import free_port
from tests.peers import wait_for
from tests.plugin import ROOT
from tests.store import CREDENTIALS

PYTHON = ROOT / ".venv-peers/bin/python"

# It imports some ninety services first.
_START_SECONDS = 110
_STOP_SECONDS = 30

# In front of a Python handler it puts a function of its own, to correct an ARN in its context.
# A plain function cannot stream; the deployed function is to be the one that runs.
_LAUNCH = """
from ministack.services import lambda_svc
from ministack.app import main

assert lambda_svc._write_context_arn_shim
lambda_svc._write_context_arn_shim = lambda *_: None
main()
"""


@contextmanager
def ministack(
    folder: Path, environ: Mapping[str, str] | None = None, *, host: str = "127.0.0.1"
) -> Iterator[str]:
    """The URL of a MiniStack that listens on one address only, and keeps its files in `folder`."""
    port = free_port(host)
    url, log = f"http://{host}:{port}", folder / "ministack.log"
    variables = {
        **os.environ,
        **CREDENTIALS,
        "BIND_HOST": host,
        "GATEWAY_PORT": str(port),
        "AWS_ENDPOINT_URL": url,  # for the functions that it runs
        "IOT_MTLS_ENABLED": "0",
        "TMPDIR": str(folder),
        **(environ or {}),
    }
    with (
        log.open("w") as lines,
        subprocess.Popen(
            [PYTHON, "-c", _LAUNCH], env=variables, cwd=folder, stdout=lines, stderr=lines
        ) as process,
    ):
        try:
            wait_for(f"{url}/_ministack/health", process, log, seconds=_START_SECONDS)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
