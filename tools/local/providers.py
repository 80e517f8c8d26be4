"""Where this machine's function takes its tokens from, and what of the shell it needs for that.

What the shell says decides, as in the application; then a local Ollama, if one answers; else the
demo. A sandbox gets the settings of the provider that was chosen, and of no other.
"""

import asyncio
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from local import aws_shell, model_lists
from local.exceptions import CannotStart
from local.options import Options

Name: TypeAlias = Literal["demo", "bedrock", "openai", "anthropic"]

OLLAMA = "127.0.0.1:11434"
# Nobody waits longer at every start for a server that they may never have heard of.
_PROBE_LIMIT = 0.3
_PROBE_LIST_LIMIT = 3.0

_OPENAI = "https://api.openai.com/v1"
_ANTHROPIC = "https://api.anthropic.com"
_ANTHROPIC_VERSION = "2023-06-01"

_KEYS: tuple[tuple[Name, str], ...] = (
    ("anthropic", "ANTHROPIC_API_KEY"),
    ("openai", "OPENAI_API_KEY"),
)
_BEDROCK_MODEL = re.compile(r"arn:[^:]+:bedrock:.+|([a-z-]+\.)?[a-z0-9]+\.[a-z][a-z0-9.:-]*")
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)

# What of the shell is a provider's own. Exactly: a developer's shell holds other tokens, too.
_COMMON = (
    "MODELS",
    "PROVIDER_CONNECT_SECONDS",
    "PROVIDER_FIRST_SECONDS",
    "PROVIDER_IDLE_SECONDS",
)
_SETTINGS: dict[Name, tuple[str, ...]] = {
    "demo": ("DEMO_TOKENS", "DEMO_TOKENS_PER_SECOND", "DEMO_FIRST_TOKEN_MS"),
    "bedrock": (*_COMMON, "AWS_BEARER_TOKEN_BEDROCK", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"),
    "openai": (
        *_COMMON,
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "OPENAI_PREFILL",
    ),
    "anthropic": (
        *_COMMON,
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A provider and its default model, why it was taken, and a sandbox's variables for it."""

    provider: Name
    reason: str
    model: str = "demo"
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"{self.provider}, model {self.model} ({self.reason})"


_BEDROCK = Choice(provider="bedrock", reason="MODELS begins with a Bedrock model")


async def choose(options: Options, *, ollama: str = OLLAMA) -> Choice:
    """What `--provider` and the shell mean; `--env` counts as the shell.

    Raises:
        CannotStart: what the provider needs is missing; the message says what to set.
    """
    environ = {**os.environ, **options.env}
    name = options.provider
    if name == "auto":
        name = environ.get("PROVIDER") or name
    match name:
        case "auto":
            choice = by_environment(environ) or await _by_asking(environ, ollama)
        case "demo" | "bedrock" | "openai" | "anthropic":
            choice = Choice(provider=name, reason="as asked")
        case _:
            raise CannotStart(
                f"there is no provider {name!r}: choose auto, demo, bedrock, openai or anthropic"
            )
    return await _completed(choice, environ)


# Which provider


def by_environment(environ: Mapping[str, str]) -> Choice | None:
    """What the application would take for `auto`; None if that is the demo."""
    for provider, variable in _KEYS:
        for name in (variable, f"{variable}_FROM"):
            if environ.get(name, "").strip():
                return Choice(provider=provider, reason=f"{name} is set")
    if environ.get("OPENAI_BASE_URL"):
        return Choice(provider="openai", reason="OPENAI_BASE_URL is set")
    if _names_bedrock(environ) and any(map(environ.get, _CREDENTIALS)):
        return _BEDROCK
    return None


async def _by_asking(environ: Mapping[str, str], ollama: str) -> Choice:
    if _names_bedrock(environ) and await _has_credentials(environ):
        return _BEDROCK
    if not await _answers(ollama):
        return Choice(provider="demo", reason=f"no key is set, and no Ollama answers on {ollama}")
    url = f"http://{ollama}/v1"
    try:
        models = await model_lists.listed(f"{url}/models", {}, limit=_PROBE_LIST_LIMIT)
    except CannotStart as error:
        return Choice(provider="demo", reason=f"no key is set, and {error}")
    if not models:
        return Choice(provider="demo", reason=f"the Ollama on {ollama} has no model: pull one")
    variables = {"OPENAI_BASE_URL": url, "MODELS": environ.get("MODELS") or ",".join(models)}
    return Choice(provider="openai", reason=f"Ollama answers on {ollama}", variables=variables)


async def _has_credentials(environ: Mapping[str, str]) -> bool:
    return await asyncio.to_thread(aws_shell.variables, environ) is not None


def _names_bedrock(environ: Mapping[str, str]) -> bool:
    return bool(_BEDROCK_MODEL.fullmatch(_default_model(environ)))


async def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with suppress(OSError):
        async with asyncio.timeout(_PROBE_LIMIT):
            _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        return True
    return False


# What a sandbox needs for it


def _refuse_kept_key(choice: Choice, environ: Mapping[str, str]) -> None:
    """A sandbox here has made-up AWS credentials for its table, so it could read no secret."""
    for provider, variable in _KEYS:
        kept = environ.get(f"{variable}_FROM") and not environ.get(variable)
        if kept and provider == choice.provider:
            raise CannotStart(f"{variable}_FROM is for Lambda; on this machine, set {variable}")


async def _completed(choice: Choice, environ: Mapping[str, str]) -> Choice:
    _refuse_kept_key(choice, environ)
    own = _SETTINGS[choice.provider]
    variables = {
        **{name: environ[name] for name in own if name in environ},
        **choice.variables,
        "PROVIDER": choice.provider,
    }
    choice = replace(choice, variables=variables)
    match choice.provider:
        case "demo":
            return choice
        case "bedrock":
            return await _with_credentials(choice, environ)
        case _:
            return await _with_models(choice)


async def _with_credentials(choice: Choice, environ: Mapping[str, str]) -> Choice:
    model = _default_model(choice.variables)
    if not model:
        raise CannotStart("set MODELS to one or more model or inference profile ids of Bedrock")
    credentials = await asyncio.to_thread(aws_shell.variables, environ)
    if credentials is None:
        raise CannotStart("no AWS credentials are found: log in, or set AWS_PROFILE")
    return replace(choice, model=model, variables={**choice.variables, **credentials})


async def _with_models(choice: Choice) -> Choice:
    """With the default model, which is the first that the server lists where none is set."""
    settings = choice.variables
    if model := _default_model(settings):
        return replace(choice, model=model)
    url, headers = _model_list(choice.provider, settings)
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


def _model_list(provider: Name, settings: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Where a provider lists its models, and the headers that it wants to see."""
    if provider == "anthropic":
        key = settings.get("ANTHROPIC_API_KEY", "").strip()
        base = settings.get("ANTHROPIC_BASE_URL") or _ANTHROPIC
        headers = {"x-api-key": key, "anthropic-version": _ANTHROPIC_VERSION}
        return f"{base.rstrip('/')}/v1/models", headers
    key = settings.get("OPENAI_API_KEY", "").strip()
    base = settings.get("OPENAI_BASE_URL") or _OPENAI
    return f"{base.rstrip('/')}/models", {"Authorization": f"Bearer {key}"} if key else {}


def _default_model(environ: Mapping[str, str]) -> str:
    return environ.get("MODELS", "").partition(",")[0].strip()
