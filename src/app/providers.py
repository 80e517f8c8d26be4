"""The list of providers: one entry each, in the order in which `PROVIDER=auto` tries them.

Deleting a provider is deleting its entry here, its module or package in `app.models`, its folder in
`tests/app/models`, and its block of template.yaml.

`python -m app.providers` prints the list and the choice for the environment, as one line of JSON.
`make run` asks it. So this module imports the standard library only, and never prints a value.
"""

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

# The settings of every provider that asks a model.
_MODEL_SETTINGS = (
    "MODELS",
    "PROVIDER_CONNECT_SECONDS",
    "PROVIDER_FIRST_SECONDS",
    "PROVIDER_IDLE_SECONDS",
)

# The variables in which botocore finds credentials.
_AWS_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A provider.

    `location` is its class, as module:name, imported when it is created. `settings` are the
    variables that it reads. `auto` chooses it where one of `chosen_by` is set, or where the default
    model matches `aws_models` and there are AWS credentials, which it then needs.

    For an HTTP server: `key` and `address` are the variables for its API key and its address,
    `hosted` is the address by default, `headers` are those of every request, and `model_list` is
    the path of its list of models. `local_server` is where `make run` looks for such a server.
    """

    name: str
    location: str
    settings: tuple[str, ...]
    chosen_by: tuple[str, ...] = ()
    aws_models: str = ""
    key: str = ""
    address: str = ""
    hosted: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    model_list: str = ""
    local_server: str = ""

    def reason(self, environ: Mapping[str, str]) -> str | None:
        """The reason for which `auto` chooses this provider; None if it does not."""
        for name in self.chosen_by:
            if environ.get(name, "").strip():
                return f"{name} is set"
        default_model = environ.get("MODELS", "").partition(",")[0].strip()
        fits = self.aws_models and re.fullmatch(self.aws_models, default_model)
        if fits and any(map(environ.get, _AWS_CREDENTIALS)):
            return f"MODELS begins with a model of {self.name}, and there are credentials"
        return None

    def headers_with(self, key: str | None) -> dict[str, str]:
        """The headers of a request; without a key, those that need none."""
        return {
            name: value.format(key=key)
            for name, value in self.headers.items()
            if key or "{key}" not in value
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """A provider's name, and the reason for it. `is_fallback` means that nothing decided."""

    provider: str
    reason: str
    is_fallback: bool = False


PROVIDERS = (
    Entry(
        name="anthropic",
        location="app.models.anthropic:AnthropicProvider",
        settings=(*_MODEL_SETTINGS, "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
        chosen_by=("ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY_FROM"),
        key="ANTHROPIC_API_KEY",
        address="ANTHROPIC_BASE_URL",
        hosted="https://api.anthropic.com",
        headers={"x-api-key": "{key}", "anthropic-version": "2023-06-01"},
        model_list="/v1/models",
    ),
    Entry(
        name="openai",
        location="app.models.openai:OpenAIProvider",
        settings=(*_MODEL_SETTINGS, "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_PREFILL"),
        chosen_by=("OPENAI_API_KEY", "OPENAI_API_KEY_FROM", "OPENAI_BASE_URL"),
        key="OPENAI_API_KEY",
        address="OPENAI_BASE_URL",
        hosted="https://api.openai.com/v1",
        headers={"Authorization": "Bearer {key}"},
        model_list="/models",
        local_server="127.0.0.1:11434",  # Ollama
    ),
    Entry(
        name="bedrock",
        location="app.models.bedrock:BedrockProvider",
        settings=(
            *_MODEL_SETTINGS,
            "AWS_BEARER_TOKEN_BEDROCK",
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
        ),
        # An ARN, or vendor.model, optionally after a region or "global." The part after the vendor
        # begins with a letter: "llama3.2" and "gpt-4.1" are names of other servers.
        aws_models=r"arn:[^:]+:bedrock:.+|([a-z-]+\.)?[a-z0-9]+\.[a-z][a-z0-9.:-]*",
    ),
    Entry(
        name="demo",
        location="app.models.demo:DemoProvider",
        settings=("DEMO_TOKENS", "DEMO_TOKENS_PER_SECOND", "DEMO_FIRST_TOKEN_MS"),
    ),
)
FALLBACK = Choice("demo", "no key, no address and no model of another provider is set", True)  # noqa: FBT003


def entry(name: str) -> Entry:
    """The entry of that name; raises ValueError with the names that there are."""
    for each in PROVIDERS:
        if each.name == name:
            return each
    names = ", ".join(("auto", *(each.name for each in PROVIDERS)))
    raise ValueError(f"PROVIDER={name!r} is not known: set it to one of: {names}")


def choose(environ: Mapping[str, str]) -> Choice:
    """The provider for `PROVIDER=auto`; only the environment decides, without a network."""
    for each in PROVIDERS:
        if reason := each.reason(environ):
            return Choice(each.name, reason)
    return FALLBACK


def _report(environ: Mapping[str, str]) -> dict[str, object]:
    """The list and the choice; also the choice if there were AWS credentials in the environment."""
    return {
        "choice": asdict(choose(environ)),
        "choice_with_aws": asdict(choose({**environ, _AWS_CREDENTIALS[0]: "found"})),
        "providers": [asdict(each) for each in PROVIDERS],
    }


if __name__ == "__main__":
    json.dump(_report(os.environ), sys.stdout)
