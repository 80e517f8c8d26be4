"""The provider that `make run` chooses, and the variables that a sandbox gets for it."""

import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from app.providers import PROVIDERS
from local import CannotStart, Options
from local.http1 import Connection, Request, listen
from local.providers import Choice, choose
from tests.local.conftest import Emulate
from tests.ports import refusing_port

pytestmark = pytest.mark.anyio

SECRET = "sk-0123456789"
SHELL = ("ANTHROPIC_", "AWS_", "DEMO_", "MODELS", "OPENAI_", "PROVIDER")


@pytest.fixture(autouse=True)
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A shell without settings and without AWS credentials."""
    for name in list(os.environ):
        if name.startswith(SHELL):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return monkeypatch


@dataclass
class Service:
    """A server that lists models; `asked` are its requests."""

    url: str
    asked: list[Request] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")


@asynccontextmanager
async def listing(models: Any, status: int = 200) -> AsyncIterator[Service]:
    body = (models if isinstance(models, str) else json.dumps({"data": models})).encode()

    async def answer(connection: Connection, request: Request) -> None:
        service.asked.append(request)
        await connection.respond(status, "application/json", body)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        service = Service("http://{}:{}".format(*listener.getsockname()))
        async with listen(listener, answer):
            yield service


async def chosen(provider: str = "auto", ollama: str = "", **env: str) -> Choice:
    with refusing_port() as unused:
        server = ollama or f"127.0.0.1:{unused}"
        return await choose(Options(env=env, provider=provider), local_server=server)


@pytest.mark.provider("openai")
async def test_with_nothing_set_and_no_ollama_it_is_the_demo() -> None:
    choice = await chosen(DEMO_TOKENS="3")

    assert choice.provider == "demo"
    assert choice.variables == {"PROVIDER": "demo", "DEMO_TOKENS": "3"}
    assert "no key is set, and no Ollama answers on 127.0.0.1" in str(choice)


@pytest.mark.provider("openai")
async def test_a_local_ollama_is_taken_with_its_newest_model() -> None:
    models = [
        {"id": "llama3.2:latest", "created": 1},
        {"id": "nomic-embed-text:latest", "created": 3},
        {"id": "qwen3:8b", "created": 2},
    ]
    async with listing(models) as ollama:
        choice = await chosen(ollama=ollama.address)

    assert (choice.provider, choice.model) == ("openai", "qwen3:8b")
    assert choice.variables == {
        "PROVIDER": "openai",
        "OPENAI_BASE_URL": f"{ollama.url}/v1",
        "MODELS": "qwen3:8b,llama3.2:latest",
    }
    assert f"Ollama answers on {ollama.address}" in str(choice)
    assert [request.path for request in ollama.asked] == ["/v1/models"]


@pytest.mark.provider("openai")
@pytest.mark.parametrize("answer", ["[]", "<html>", '{"data": 1}', '{"data": [{"name": "a"}]}'])
async def test_a_server_at_ollamas_address_without_a_list_of_models_is_ignored(answer: str) -> None:
    async with listing(answer) as other:
        choice = await chosen(ollama=other.address)

    assert choice.provider == "demo"
    assert "is no list of models" in choice.reason


@pytest.mark.provider("openai")
async def test_an_ollama_without_a_model_is_named() -> None:
    async with listing([]) as ollama:
        choice = await chosen(ollama=ollama.address)

    assert choice.provider == "demo"
    assert "has no model" in choice.reason


@pytest.mark.provider("anthropic")
async def test_ollama_is_not_asked_where_the_shell_decides() -> None:
    async with listing([{"id": "llama3.2"}]) as ollama:
        choice = await chosen(ollama=ollama.address, ANTHROPIC_API_KEY=SECRET, MODELS="claude-x")

    assert choice.provider == "anthropic"
    assert not ollama.asked


@pytest.mark.provider("openai")
async def test_models_names_the_default_and_nothing_is_asked() -> None:
    async with listing([{"id": "other"}]) as server:
        choice = await chosen(OPENAI_BASE_URL=f"{server.url}/v1", MODELS="mine, second")

    assert choice.model == "mine"
    assert choice.variables["MODELS"] == "mine, second"
    assert not server.asked


@pytest.mark.provider("openai")
async def test_without_models_an_openai_server_is_asked_for_its_newest() -> None:
    models = [
        {"id": "gpt-a", "created": 1},
        {"id": "gpt-b", "created": 3},
        {"id": "gpt-b-realtime", "created": 4},
        {"id": "text-embedding-3-small", "created": 5},
    ]
    async with listing(models) as server:
        choice = await chosen(OPENAI_BASE_URL=f"{server.url}/v1/", OPENAI_API_KEY=SECRET)

    (request,) = server.asked
    assert request.path == "/v1/models"
    assert request.header("authorization") == f"Bearer {SECRET}"
    assert choice.model == "gpt-b"
    assert "another of 2 models" in choice.reason


@pytest.mark.provider("anthropic")
async def test_without_models_anthropic_is_asked_for_its_newest() -> None:
    models = [{"id": "claude-new", "created_at": "2026-10-01T00:00:00Z"}, {"id": "claude-old"}]
    async with listing(models) as server:
        choice = await chosen(ANTHROPIC_BASE_URL=server.url, ANTHROPIC_API_KEY=SECRET)

    (request,) = server.asked
    assert request.path == "/v1/models"
    assert request.header("x-api-key") == SECRET
    assert request.header("anthropic-version")
    assert choice.model == "claude-new"


@pytest.mark.provider("anthropic")
async def test_a_sandbox_gets_the_settings_of_its_provider_and_of_no_other() -> None:
    env = {
        "ANTHROPIC_API_KEY": SECRET,
        "MODELS": "claude-x",
        "ANTHROPIC_AUTH_TOKEN": "another program's",
        "PROVIDER_IDLE_SECONDS": "9",
        "OPENAI_API_KEY": "other",
        "DEMO_TOKENS": "3",
        "AWS_SECRET_ACCESS_KEY": "aws",
    }
    choice = await chosen(**env)

    assert choice.variables == {
        "ANTHROPIC_API_KEY": SECRET,
        "MODELS": "claude-x",
        "PROVIDER": "anthropic",
        "PROVIDER_IDLE_SECONDS": "9",
    }


@pytest.mark.provider("anthropic")
async def test_a_key_is_never_in_what_is_printed() -> None:
    choice = await chosen(ANTHROPIC_API_KEY=SECRET, MODELS="claude-x")

    assert SECRET not in f"{choice} {choice!r}"


@pytest.mark.provider("anthropic")
@pytest.mark.parametrize("status", [401, 500])
async def test_a_server_that_refuses_the_list_is_named_and_the_key_is_not(status: int) -> None:
    async with listing([], status=status) as server:
        with pytest.raises(CannotStart) as refused:
            await chosen(ANTHROPIC_BASE_URL=server.url, ANTHROPIC_API_KEY=SECRET)

    assert f"127.0.0.1/v1/models answers {status}" in str(refused.value)
    assert "--provider demo" in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.provider("openai")
async def test_a_server_that_does_not_answer_is_named() -> None:
    with refusing_port() as port, pytest.raises(CannotStart, match="does not answer"):
        await chosen(OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1")


@pytest.mark.provider("openai")
async def test_a_server_without_models_is_named() -> None:
    async with listing([]) as server:
        with pytest.raises(CannotStart, match="lists no model that chats"):
            await chosen(OPENAI_BASE_URL=server.url)


@pytest.mark.provider("anthropic")
async def test_the_shell_may_name_the_provider_and_the_command_line_wins() -> None:
    assert (await chosen(PROVIDER="demo", ANTHROPIC_API_KEY=SECRET)).provider == "demo"
    assert (await chosen("demo", PROVIDER="anthropic")).provider == "demo"


async def test_an_unknown_provider_is_refused_with_the_list() -> None:
    *names, last = ("auto", *(each.name for each in PROVIDERS))
    with pytest.raises(CannotStart, match=f"{', '.join(names)} or {last}"):
        await chosen("gemini")


@pytest.mark.provider("bedrock")
async def test_bedrock_gets_the_credentials_of_the_shell(shell: pytest.MonkeyPatch) -> None:
    shell.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    shell.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    shell.setenv("AWS_REGION", "eu-west-1")

    choice = await chosen(MODELS="eu.amazon.nova-lite-v1:0")

    assert (choice.provider, choice.model) == ("bedrock", "eu.amazon.nova-lite-v1:0")
    assert choice.variables == {
        "PROVIDER": "bedrock",
        "MODELS": "eu.amazon.nova-lite-v1:0",
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": "",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }


@pytest.mark.provider("bedrock")
async def test_bedrock_is_chosen_with_the_default_profile_too(
    shell: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shell.setenv("HOME", str(tmp_path))
    (tmp_path / "credentials").write_text(
        f"[default]\naws_access_key_id = AKIB\naws_secret_access_key = {SECRET}\n"
    )
    (tmp_path / "config").write_text("[default]\nregion = us-west-2\n")

    choice = await chosen(MODELS="amazon.nova-lite-v1:0")

    assert choice.provider == "bedrock"
    assert choice.variables["AWS_ACCESS_KEY_ID"] == "AKIB"
    assert choice.variables["AWS_REGION"] == "us-west-2"


@pytest.mark.provider("bedrock")
async def test_a_bedrock_key_does_without_credentials(shell: pytest.MonkeyPatch) -> None:
    shell.setenv("AWS_REGION", "eu-west-1")

    choice = await chosen(MODELS="amazon.nova-lite-v1:0", AWS_BEARER_TOKEN_BEDROCK=SECRET)

    assert choice.provider == "bedrock"
    assert choice.variables["AWS_BEARER_TOKEN_BEDROCK"] == SECRET
    assert "AWS_ACCESS_KEY_ID" not in choice.variables


@pytest.mark.provider("bedrock")
async def test_bedrock_says_what_it_lacks(shell: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotStart, match="set MODELS"):
        await chosen("bedrock")
    with pytest.raises(CannotStart, match="no AWS credentials"):
        await chosen("bedrock", MODELS="amazon.nova-lite-v1:0")
    shell.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    shell.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with pytest.raises(CannotStart, match="set AWS_REGION"):
        await chosen("bedrock", MODELS="amazon.nova-lite-v1:0")


@pytest.mark.provider("bedrock")
async def test_the_table_is_where_a_sandbox_with_other_credentials_looks(
    emulate: Emulate, shell: pytest.MonkeyPatch
) -> None:
    """The local DynamoDB separates regions, and DynamoDB Local accounts too."""
    shell.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    shell.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    shell.setenv("AWS_REGION", "eu-west-1")
    env = {"MODELS": "amazon.nova-lite-v1:0"}

    async with emulate(provider="bedrock", env=env) as emulated:
        region, url = "eu-west-1", emulated.running.dynamodb_url
        client = boto3.client("dynamodb", region_name=region, endpoint_url=url)
        tables = client.list_tables()["TableNames"]
        sandbox = (await emulated.client.get("/environment")).json()

    assert "StreamTable" in tables
    assert sandbox["AWS_REGION"] == region
    assert sandbox["AWS_ACCESS_KEY_ID"] == "AKIA"


async def test_a_list_of_providers_that_does_not_load_is_told_with_its_reason() -> None:
    with pytest.raises(CannotStart, match=r"list of providers does not load: .+"):
        await chosen(PYTHONHOME="/nonexistent")
