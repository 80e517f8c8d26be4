"""The provider of this machine's function, and the variables that its sandboxes need for it.

The application chooses, from the variables of this shell. Where they decide nothing, a local server
(Ollama) is tried, then the demo. A sandbox gets the settings of the chosen provider only.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from local import aws_shell, model_lists
from local.exceptions import CannotStart
from local.options import PROJECT, Options

# Few people run Ollama, and everybody would wait for it at every start.
_PROBE_LIMIT = 0.3
_PROBE_LIST_LIMIT = 3.0
_REPORT_LIMIT = 30.0

# An entry of the application's list of providers (`app.providers.Entry`), as JSON.
Entry: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A provider and its default model, the reason for it, and a sandbox's variables."""

    provider: str
    reason: str
    model: str = "demo"
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"{self.provider}, model {self.model} ({self.reason})"


@dataclass(frozen=True, kw_only=True)
class Report:
    """The application's list of providers by name, and its choices for an environment.

    `choice_with_aws` is the choice if AWS credentials were in the environment. `decided` is false
    where the environment decides nothing.
    """

    entries: Mapping[str, Entry]
    choice: Choice
    choice_with_aws: Choice
    decided: bool


async def choose(options: Options, *, local_server: str | None = None) -> Choice:
    """The provider that `--provider` and the shell name; `--env` counts as the shell.

    `local_server` (host:port) replaces the address at which a local server is tried.

    Raises:
        CannotStart: a setting of the provider is missing; the message says what to set.
    """
    environ = {**os.environ, **options.env}
    name = options.provider
    if name == "auto":
        name = environ.get("PROVIDER") or name
    report = await report_for(environ)
    if name == "auto":
        choice = report.choice if report.decided else await _probed(report, environ, local_server)
    elif name in report.entries:
        choice = Choice(provider=name, reason="as asked")
    else:
        *names, last = ("auto", *report.entries)
        raise CannotStart(f"there is no provider {name!r}: choose {', '.join(names)} or {last}")
    return await _completed(choice, report.entries[choice.provider], environ)


# The choice


async def report_for(environ: Mapping[str, str]) -> Report:
    """The application's own report, from a process of its own: tools do not import it.

    Raises:
        CannotStart: the process fails; the message is its last line.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.providers"),
        cwd=PROJECT / "src",
        env={**environ, "PYTHONPATH": str(PROJECT / "src")},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_REPORT_LIMIT):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        raise CannotStart("the application's list of providers does not load: no answer") from None
    if process.returncode:
        last = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise CannotStart(f"the application's list of providers does not load: {last}")
    report = json.loads(output)
    choice, with_aws = report["choice"], report["choice_with_aws"]
    return Report(
        entries={entry["name"]: entry for entry in report["providers"]},
        choice=Choice(provider=choice["provider"], reason=choice["reason"]),
        choice_with_aws=Choice(provider=with_aws["provider"], reason=with_aws["reason"]),
        decided=not choice["is_fallback"],
    )


async def _probed(report: Report, environ: Mapping[str, str], local_server: str | None) -> Choice:
    """The choice with AWS credentials that only boto3 finds, with a local server, or neither."""
    fits_aws = report.entries[report.choice_with_aws.provider]["aws_models"]
    if fits_aws and await asyncio.to_thread(aws_shell.variables, environ) is not None:
        return report.choice_with_aws
    for entry in report.entries.values():
        if server := entry["local_server"] and (local_server or entry["local_server"]):
            return await _with_server(report.choice, entry, server, environ)
    return report.choice


async def _with_server(
    fallback: Choice, entry: Entry, server: str, environ: Mapping[str, str]
) -> Choice:
    if not await _answers(server):
        return replace(fallback, reason=f"no key is set, and no Ollama answers on {server}")
    url = f"http://{server}/v1"
    try:
        models = await model_lists.listed(f"{url}/models", {}, limit=_PROBE_LIST_LIMIT)
    except CannotStart as error:
        return replace(fallback, reason=f"no key is set, and {error}")
    if not models:
        return replace(fallback, reason=f"the Ollama on {server} has no model: pull one")
    variables = {entry["address"]: url, "MODELS": environ.get("MODELS") or ",".join(models)}
    reason = f"Ollama answers on {server}"
    return Choice(provider=entry["name"], reason=reason, variables=variables)


async def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with suppress(OSError):
        async with asyncio.timeout(_PROBE_LIMIT):
            _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        return True
    return False


# A sandbox's variables


def _refuse_stored_key(entry: Entry, environ: Mapping[str, str]) -> None:
    """A sandbox here has made-up AWS credentials for its table, so it cannot read a secret."""
    key = entry["key"]
    if key and environ.get(f"{key}_FROM") and not environ.get(key):
        raise CannotStart(f"{key}_FROM is for Lambda; on this machine, set {key}")


async def _completed(choice: Choice, entry: Entry, environ: Mapping[str, str]) -> Choice:
    _refuse_stored_key(entry, environ)
    variables = {
        **{name: environ[name] for name in entry["settings"] if name in environ},
        **choice.variables,
        "PROVIDER": choice.provider,
    }
    choice = replace(choice, variables=variables)
    if entry["aws_models"]:
        return await _with_credentials(choice, environ)
    if entry["model_list"]:
        return await _with_models(choice, entry)
    return choice


async def _with_credentials(choice: Choice, environ: Mapping[str, str]) -> Choice:
    model = _default_model(choice.variables)
    if not model:
        raise CannotStart(f"set MODELS to one or more ids of models on {choice.provider}")
    credentials = await asyncio.to_thread(aws_shell.variables, environ)
    if credentials is None:
        raise CannotStart("no AWS credentials are found: log in, or set AWS_PROFILE")
    return replace(choice, model=model, variables={**choice.variables, **credentials})


async def _with_models(choice: Choice, entry: Entry) -> Choice:
    """The choice with its default model: the first that the server lists where none is set."""
    settings = choice.variables
    if model := _default_model(settings):
        return replace(choice, model=model)
    url, headers = _model_list(entry, settings)
    try:
        models = await model_lists.listed(url, headers)
    except CannotStart as error:
        raise CannotStart(
            f"provider {choice.provider} ({choice.reason}): {error}; check the key and the "
            "address, set MODELS, or choose --provider demo"
        ) from None
    if not models:
        raise CannotStart(f"{url} lists no model that chats: set MODELS, or give the server one")
    return replace(
        choice,
        model=models[0],
        reason=f"{choice.reason}; MODELS would choose another of {len(models)} models",
        variables={**settings, "MODELS": ",".join(models)},
    )


def _model_list(entry: Entry, settings: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The address of a provider's list of models, and the headers of a request for it."""
    key = settings.get(entry["key"], "").strip()
    address = settings.get(entry["address"]) or entry["hosted"]
    headers = {
        name: value.format(key=key)
        for name, value in entry["headers"].items()
        if key or "{key}" not in value
    }
    return f"{address.rstrip('/')}{entry['model_list']}", headers


def _default_model(environ: Mapping[str, str]) -> str:
    return environ.get("MODELS", "").partition(",")[0].strip()
