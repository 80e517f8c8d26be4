"""Which provider is taken, and what it imports."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app import models
from app.models.choice import choose
from local.providers import by_environment

SRC = Path(__file__).parents[3] / "src"
ACCESS = {"AWS_ACCESS_KEY_ID": "a"}

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


@pytest.mark.parametrize(("environ", "provider"), ENVIRONMENTS)
def test_auto_takes_the_provider_that_the_environment_means(
    environ: dict[str, str], provider: str
) -> None:
    assert choose(environ).provider == provider


@pytest.mark.parametrize(("environ", "provider"), ENVIRONMENTS)
def test_the_emulator_decides_as_the_application_does(
    environ: dict[str, str], provider: str
) -> None:
    """They share no code: what runs on this machine must not reach into what is deployed."""
    found = by_environment(environ)

    assert (found.provider if found else "demo") == provider


def test_auto_says_in_one_line_what_it_takes_and_why() -> None:
    program = "import os; from app import models; models.create('auto', os.environ)"

    (line,) = run(program, {}).splitlines()

    entry = json.loads(line)
    assert entry["provider"] == "demo"
    assert "no key" in entry["because"]


def test_a_provider_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="auto, demo, bedrock, openai, anthropic"):
        models.create("gemini", {})


def run(program: str, environ: dict[str, str]) -> str:
    """What a program of the application's says in a fresh process."""
    base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SRC)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env={**base, **environ}, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("provider", "environ", "foreign"),
    [
        ("demo", {}, {"httpx", "httpx_sse", "boto3", "app.models.openai"}),
        ("bedrock", {"MODELS": "amazon.nova-lite-v1:0"}, {"httpx", "app.models.openai"}),
        ("openai", {"MODELS": "m", "OPENAI_API_KEY": "k"}, {"app.models.anthropic", "boto3"}),
        ("anthropic", {"MODELS": "m", "ANTHROPIC_API_KEY": "k"}, {"app.models.openai", "boto3"}),
    ],
)
def test_a_provider_imports_nothing_of_the_others(
    provider: str, environ: dict[str, str], foreign: set[str]
) -> None:
    program = (
        "import sys, os; from app import models;"
        f"models.create({provider!r}, os.environ); print(*sys.modules)"
    )

    modules = set(run(program, environ).split())

    assert f"app.models.{provider}" in modules
    assert not modules & foreign
