"""Runs the built package under `sam local start-api`, with its table in moto.

SAM CLI runs the package in containers of Lambda's own image, and serves the REST API without
streaming: a response is sent when it is complete. One container serves all requests, one after
another, and is not frozen in between.

The settings of this machine are written into the template that `sam build` made, because SAM CLI
passes only variables that the template names. While this runs, `sam local invoke -t
.aws-sam/local/build/template.yaml` works, too.
"""

import asyncio
import fcntl
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from local.containers import engine
from local.dynamodb import create_table, moto
from local.environment import REGION
from local.exceptions import CannotStart
from local.log import Log, named, terminal
from local.options import PROJECT, Options
from local.process import Process
from local.providers import Choice, choose
from local.template import read_table
from local.watchdog import Watchdog

FOLDER = PROJECT / ".aws-sam/local"
FUNCTION = "StreamFunction"
# The first start downloads Lambda's image, which has some hundred megabytes.
START_LIMIT = 900.0
# SAM CLI removes its containers before it ends.
STOP_LIMIT = 30.0
RUNNING = re.compile(r"Running on (http://\S+)")
# Without these SAM CLI asks AWS for the account, and gives the container the shell's credentials.
WITHOUT_AWS = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_DEFAULT_REGION": REGION,
}


@dataclass(frozen=True)
class Running:
    """The addresses of a running `sam local start-api`; `ended` is done once it has ended."""

    url: str
    dynamodb_url: str
    table_name: str
    provider: Choice
    ended: asyncio.Task[None]


@asynccontextmanager
async def serve(
    options: Options, flags: Sequence[str] = (), log: Log = terminal
) -> AsyncIterator[Running]:
    """Build, and run SAM CLI with these flags; on leaving, end all that it started.

    It uses three of the options: the provider, the environment and the template.

    Raises:
        CannotStart: a requirement is missing or a port is taken; the message says what to do.
    """
    table = read_table(options.template)
    provider = await choose(options)
    docker = await engine()
    with _locked(), Watchdog() as watchdog:
        template = await _build(options.template, watchdog, log)
        async with moto(watchdog, log, docker.address) as dynamodb_url:
            await asyncio.to_thread(create_table, dynamodb_url, table, provider.variables)
            settings = {
                "TABLE_NAME": table.name,
                "AWS_ENDPOINT_URL_DYNAMODB": f"http://{docker.name}:{urlsplit(dynamodb_url).port}",
                **provider.variables,
                **options.env,
            }
            variables = _localise(template, docker.architecture, settings)
            command = ["sam", "local", "start-api", "--template-file", str(template)]
            command += ["--warm-containers", "EAGER", *flags]
            process = await _start(command, _environ(variables, settings), watchdog)
            try:
                lines = process.lines()
                url = await _announced_url(lines, log)
                ended = asyncio.create_task(_copy(lines, log))
                yield Running(url, dynamodb_url, table.name, provider, ended)
            finally:
                await _end(process)


@contextmanager
def _locked() -> Iterator[None]:
    """Lock the build folder, since a running container uses its files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(
                f"`python -m local.sam` is running already in {FOLDER}: stop it first"
            ) from None
        yield


async def _build(source: Path, watchdog: Watchdog, log: Log) -> Path:
    """Build in a folder of its own, so that the package for `sam deploy` stays unchanged."""
    log("sam | building the package")
    command = ["sam", "build", "--template-file", str(source), "--build-dir", "build"]
    process = await _start(command, _environ((), {}), watchdog)
    try:
        output = [line async for line in process.lines()]
    finally:
        process.kill()
        status = await process.wait()
    if status:
        raise CannotStart("\n".join(["`sam build` failed. Its output:", *output]))
    return FOLDER / "build/template.yaml"


def _localise(built: Path, architecture: str, settings: Mapping[str, str]) -> Sequence[str]:
    """Adapt a built template to this machine, and return the names of the function's variables.

    Most variables are written without a value, because one may be a secret: SAM CLI takes their
    values from its environment. The table's name and address are written with their values, so
    that `sam local invoke` works, too.
    """
    template = yaml.safe_load(built.read_text())
    parameters = template["Parameters"]
    parameters["Architecture"]["Default"] = architecture
    if "Access" in parameters:  # access is an optional part of the template
        parameters["Access"]["Default"] = "open"
    environment = template["Resources"][FUNCTION]["Properties"]["Environment"]
    known = {name: settings[name] for name in ("TABLE_NAME", "AWS_ENDPOINT_URL_DYNAMODB")}
    variables = {**dict.fromkeys(settings, ""), **environment["Variables"], **known}
    environment["Variables"] = variables
    built.write_text(yaml.safe_dump(template, sort_keys=False))
    return list(variables)


def _environ(variables: Sequence[str], settings: Mapping[str, str]) -> dict[str, str]:
    """Return SAM CLI's environment, from which it takes the values of the function's variables."""
    shell = {
        name: value
        for name, value in os.environ.items()
        if name not in variables and not name.startswith("AWS_")
    }
    return {**shell, **WITHOUT_AWS, **settings}


async def _start(command: Sequence[str], environ: Mapping[str, str], watchdog: Watchdog) -> Process:
    try:
        return await Process.start(command, cwd=FOLDER, env=environ, watchdog=watchdog)
    except FileNotFoundError:
        raise CannotStart(
            "there is no `sam` on the PATH: `make sam-local` installs and runs it"
        ) from None


async def _announced_url(lines: AsyncIterator[str], log: Log) -> str:
    with suppress(TimeoutError):
        async with asyncio.timeout(START_LIMIT):
            async for line in lines:
                named(log, "sam")(line)
                if found := RUNNING.search(line):
                    return found[1]
    raise CannotStart(
        "`sam local start-api` did not start: see its output above. If it cannot check for a newer "
        "image, use the present one with --skip-pull-image."
    )


async def _copy(lines: AsyncIterator[str], log: Log) -> None:
    async for line in lines:
        named(log, "sam")(line)


async def _end(process: Process) -> None:
    process.terminate()
    try:
        async with asyncio.timeout(STOP_LIMIT):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
