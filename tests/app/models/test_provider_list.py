"""The list of providers: the choice by the environment, and the imports of each entry."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app import models
from app.providers import PROVIDERS, Entry, choose, entry
from local.providers import report_for
from tests.app.models.wires import KEY

SRC = Path(__file__).parents[3] / "src"
NAMES = [each.name for each in PROVIDERS]
ACCESS = {"AWS_ACCESS_KEY_ID": "a"}
# The libraries that a provider may import.
LIBRARIES = {"bedrock": {"boto3"}, "demo": set[str]()}
HTTP_LIBRARIES = {"httpx", "httpx_sse"}

ENVIRONMENTS = [
    pytest.param({}, "demo", id="nothing"),
    pytest.param({"ANTHROPIC_API_KEY": "k"}, "anthropic", id="anthropic key"),
    pytest.param({"ANTHROPIC_API_KEY_FROM": "ssm:k"}, "anthropic", id="anthropic key kept"),
    pytest.param({"ANTHROPIC_API_KEY": " "}, "demo", id="empty key"),
    pytest.param({"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"}, "anthropic", id="both keys"),
    pytest.param({"OPENAI_API_KEY": "k"}, "openai", id="openai key"),
    pytest.param({"OPENAI_API_KEY_FROM": "secretsmanager:k"}, "openai", id="openai key kept"),
    pytest.param({"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1"}, "openai", id="local server"),
    pytest.param(
        {"OPENAI_API_KEY": "k", "MODELS": "anthropic.claude-opus-5-5", **ACCESS},
        "openai",
        id="a key wins over a bedrock model",
    ),
    *(
        pytest.param({"MODELS": models, **ACCESS}, provider, id=models)
        for models, provider in (
            ("anthropic.claude-opus-5-5", "bedrock"),
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0,amazon.nova-lite-v1:0", "bedrock"),
            ("global.amazon.nova-2-lite-v1:0", "bedrock"),
            ("us-gov.anthropic.claude-3-haiku-20240307-v1:0", "bedrock"),
            ("ai21.jamba-1-5-mini-v1:0", "bedrock"),
            ("arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.a.b", "bedrock"),
            ("llama3.2", "demo"),
            ("gpt-4.1", "demo"),
            ("qwen2.5-coder:7b", "demo"),
            ("hf.co/bartowski/Llama-3.2-1B", "demo"),
        )
    ),
    pytest.param({"MODELS": "anthropic.claude-opus-5-5"}, "demo", id="no credentials"),
    pytest.param(
        {"MODELS": "amazon.nova-lite-v1:0", "AWS_BEARER_TOKEN_BEDROCK": "b"},
        "bedrock",
        id="a bedrock key",
    ),
]
CASES = [
    pytest.param(*each.values, id=each.id, marks=pytest.mark.provider(each.values[1]))
    for each in ENVIRONMENTS
]


@pytest.mark.parametrize(("environ", "provider"), CASES)
def test_auto_takes_the_provider_that_the_environment_means(
    environ: dict[str, str], provider: str
) -> None:
    assert choose(environ).provider == provider


@pytest.mark.anyio
@pytest.mark.parametrize(("environ", "provider"), CASES)
async def test_the_emulator_decides_as_the_application_does(
    environ: dict[str, str], provider: str
) -> None:
    report = await report_for(environ)

    assert report.choice.provider == provider


def test_the_list_imports_the_standard_library_only() -> None:
    """`make run` waits for it."""
    program = "import sys; old = {*sys.modules}; import app.providers; print(*{*sys.modules} - old)"

    imported = {name.partition(".")[0] for name in run("-c", program).split()}

    assert imported - sys.stdlib_module_names == {"app"}


def test_the_printed_list_holds_no_value_of_the_environment() -> None:
    environ = {each.key: KEY for each in PROVIDERS if each.key}

    report = run("-m", "app.providers", environ={**environ, "MODELS": "a-model"})

    assert KEY not in report
    assert [each["name"] for each in json.loads(report)["providers"]] == NAMES


def test_auto_says_in_one_line_what_it_takes_and_why() -> None:
    program = "import os; from app import models; models.create('auto', os.environ)"

    (line,) = run("-c", program).splitlines()

    logged = json.loads(line)
    assert logged["provider"] == "demo"
    assert "no key" in logged["because"]


def test_an_unknown_provider_is_refused_with_the_list() -> None:
    with pytest.raises(ValueError, match=", ".join(["auto", *NAMES])):
        models.create("gemini", {})


def run(*arguments: str, environ: dict[str, str] | None = None) -> str:
    """The output of a fresh process of the application."""
    base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SRC)}
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**base, **(environ or {})},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def module_of(each: Entry) -> str:
    return each.location.partition(":")[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_provider_imports_nothing_of_the_others(name: str) -> None:
    provider = entry(name)
    environ = {"MODELS": "m", **({provider.key: "k"} if provider.key else {})}
    program = (
        "import sys, os; from app import models;"
        f"models.create({name!r}, os.environ); print(*sys.modules)"
    )

    modules = set(run("-c", program, environ=environ).split())

    others = {module_of(each) for each in PROVIDERS if each is not provider}
    assert module_of(provider) in modules
    assert not modules & others
    assert modules & (HTTP_LIBRARIES | {"boto3"}) == LIBRARIES.get(name, HTTP_LIBRARIES)
