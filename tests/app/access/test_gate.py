"""The gate, with its tokens in the environment or in Secrets Manager."""

import json

import boto3
import pytest

from app import secret
from app.access import from_environ, token_gate
from app.exceptions import SecretRefused, SecretUnavailable, Unauthorized
from app.gate import Credentials
from durable_stream import StreamNotFound
from tests.store import Fault, faulty

pytestmark = pytest.mark.anyio

STREAM = "s" * 32
TOKEN, OTHER = "t" * 32, "x" * 32
SECRET = json.dumps({"website": TOKEN, "tests": OTHER})
STORED = {"API_TOKENS_FROM": "secretsmanager:tokens"}


async def owned_by_website(stream_id: str) -> str:
    assert stream_id == STREAM
    return "website"


@pytest.fixture
def aws(aws: str) -> str:
    """An AWS account that keeps the tokens."""
    boto3.client("secretsmanager").create_secret(Name="tokens", SecretString=SECRET)
    return aws


async def test_without_tokens_everybody_is_let_in() -> None:
    gate = from_environ({})

    assert gate.mode == "open"
    assert await gate.creator(Credentials()) == ""
    await gate.admit(Credentials(), STREAM, owned_by_website)
    assert await gate.token(STREAM, "", 0) is None


def test_a_mistake_in_the_environment_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="too short"):
        from_environ({"API_TOKENS": '{"website": "secret"}'})


@pytest.mark.parametrize("name", ["API_TOKENS", "API_TOKENS_FROM"])
def test_a_variable_that_was_left_empty_does_not_open_the_gate(name: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        from_environ({name: " "})


def test_sam_local_leaves_empty_what_a_template_leaves_out() -> None:
    assert from_environ({"API_TOKENS_FROM": "", "AWS_SAM_LOCAL": "true"}).mode == "open"


@pytest.mark.usefixtures("aws")
async def test_either_of_two_credentials_is_enough() -> None:
    gate = from_environ(STORED)
    token = await gate.token(STREAM, "website", 9_999_999_999)

    for shown in (
        Credentials(bearer="y" * 32, token=token),
        Credentials(bearer=OTHER, token=token),
        Credentials(bearer=TOKEN, token="nonsense"),
    ):
        await gate.admit(shown, STREAM, owned_by_website)


async def test_a_rotation_has_no_gap(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sandbox has read the new secret; the other has not, and meets tokens of the first."""
    assert aws
    monkeypatch.setattr(secret, "_PAUSE_SECONDS", 0)
    behind = from_environ(STORED)
    await behind.preload()
    new = "n" * 32
    rotated = json.dumps({"website": [new, TOKEN]})
    boto3.client("secretsmanager").put_secret_value(SecretId="tokens", SecretString=rotated)
    ahead = from_environ(STORED)

    token = await ahead.token(STREAM, "website", 9_999_999_999)

    admitted = await behind.admit(Credentials(token=token), STREAM, owned_by_website)
    assert admitted == "website"
    assert await behind.creator(Credentials(bearer=new)) == "website"
    assert await behind.creator(Credentials(bearer=TOKEN)) == "website"


async def test_a_strangers_guesses_read_the_secret_once_in_a_while(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with faulty(aws) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        gate = from_environ(STORED)
        for _ in range(20):
            with pytest.raises(Unauthorized):
                await gate.creator(Credentials(bearer="y" * 32))

    assert store.calls["GetSecretValue"] <= 2


@pytest.mark.usefixtures("aws")
async def test_an_api_token_opens_what_its_name_has_created_and_nothing_else() -> None:
    gate = from_environ(STORED)

    assert gate.mode == "tokens"
    assert await gate.creator(Credentials(bearer=TOKEN)) == "website"
    assert await gate.admit(Credentials(bearer=TOKEN), STREAM, owned_by_website) == "website"
    with pytest.raises(StreamNotFound):
        await gate.admit(Credentials(bearer=OTHER), STREAM, owned_by_website)
    for nobody in (Credentials(), Credentials(bearer="y" * 32), Credentials(token="y" * 32)):
        with pytest.raises(Unauthorized):
            await gate.admit(nobody, STREAM, owned_by_website)
        with pytest.raises(Unauthorized):
            await gate.creator(nobody)


@pytest.mark.usefixtures("aws")
async def test_a_streams_token_opens_it_but_creates_nothing() -> None:
    gate = from_environ(STORED)
    shown = Credentials(token=await gate.token(STREAM, "website", 9_999_999_999))

    assert await gate.admit(shown, STREAM, owned_by_website) == "website"
    with pytest.raises(Unauthorized):
        await gate.creator(shown)


@pytest.mark.usefixtures("aws")
async def test_a_stream_of_somebody_who_has_no_token_any_more_is_nobodys() -> None:
    with pytest.raises(StreamNotFound):
        await from_environ(STORED).token(STREAM, "gone", 9_999_999_999)


@pytest.mark.usefixtures("aws")
async def test_a_secret_that_makes_no_sense_lets_nobody_in() -> None:
    boto3.client("secretsmanager").put_secret_value(SecretId="tokens", SecretString="{}")
    gate = from_environ(STORED)

    await gate.preload()
    with pytest.raises(SecretRefused):
        await gate.creator(Credentials(bearer=TOKEN))


async def test_tokens_are_read_once_and_before_the_first_request(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with faulty(aws) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        gate = from_environ(STORED)
        await gate.preload()
        for _ in range(10):
            await gate.creator(Credentials(bearer=TOKEN))

    assert store.calls == {"GetSecretValue": 1}


async def test_while_they_cannot_be_read_nobody_is_let_in_but_a_sandbox_starts(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with faulty(aws) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        store.choose = lambda _: Fault.FAIL
        gate = from_environ(STORED)
        await gate.preload()
        with pytest.raises(SecretUnavailable):
            await gate.creator(Credentials(bearer=TOKEN))


async def test_a_store_that_hangs_does_not_hold_up_the_start(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda ends a restore that takes ten seconds. The first request waits for the same read."""
    monkeypatch.setattr(token_gate, "_PRELOAD_SECONDS", 0.05)
    async with faulty(aws) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        store.hold("GetSecretValue")
        gate = from_environ(STORED)
        await gate.preload()
        store.release()
        assert await gate.creator(Credentials(bearer=TOKEN)) == "website"

    assert store.calls == {"GetSecretValue": 1}


def test_what_is_shown_is_not_shown_again() -> None:
    assert TOKEN not in repr(Credentials(bearer=TOKEN, token=TOKEN))
