"""The sources of keys: the environment, Secrets Manager, SSM; against moto's server."""

import asyncio
import json

import boto3
import pytest

from app import secret
from app.exceptions import ProviderError
from app.models.http import keys
from app.models.http.keys import Key
from tests.store import Fault, faulty

pytestmark = pytest.mark.anyio

NAME = "ANTHROPIC_API_KEY"
KEY = "sk-ant-naïve-0123456789"


def stored(place: str) -> Key:
    key = keys.from_environ({f"{NAME}_FROM": place}, NAME)
    assert key is not None
    return key


def keep_secret(text: str) -> str:
    """The ARN of a new secret."""
    secret = boto3.client("secretsmanager").create_secret(Name="model-key", SecretString=text)
    return str(secret["ARN"])


async def test_a_key_in_the_environment_is_taken_as_it_is() -> None:
    key = keys.from_environ({NAME: f"{KEY}\n", f"{NAME}_FROM": "ssm:elsewhere"}, NAME)

    assert key is not None
    assert await key.value() == KEY
    assert KEY not in repr(key)


def test_without_a_key_there_is_none() -> None:
    assert keys.from_environ({NAME: ""}, NAME) is None


@pytest.mark.parametrize("place", ["vault:a", "secretsmanager:", "ssm", KEY])
def test_a_place_that_is_not_understood_is_refused_without_being_repeated(place: str) -> None:
    """A user may put the key itself there by mistake."""
    with pytest.raises(ValueError, match=f"{NAME}_FROM must be") as refused:
        keys.from_environ({f"{NAME}_FROM": place}, NAME)

    assert KEY not in str(refused.value)


@pytest.mark.usefixtures("aws")
async def test_a_key_is_read_from_secrets_manager_by_name_and_by_arn() -> None:
    arn = keep_secret(f"{KEY}\n")

    assert await stored("secretsmanager:model-key").value() == KEY
    assert await stored(f"secretsmanager:{arn}").value() == KEY


@pytest.mark.usefixtures("aws")
async def test_a_key_may_be_one_member_of_a_secret() -> None:
    """The console of Secrets Manager makes secrets like this."""
    keep_secret(json.dumps({"other": "x", NAME: KEY}))

    assert await stored("secretsmanager:model-key").value() == KEY


@pytest.mark.usefixtures("aws")
async def test_a_key_is_read_and_decrypted_from_ssm() -> None:
    ssm = boto3.client("ssm")
    ssm.put_parameter(Name="/models/key", Value=KEY, Type="SecureString")

    assert await stored("ssm:/models/key").value() == KEY


async def test_a_hundred_requests_read_a_key_once(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_secret(KEY)
    async with faulty(aws) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        key = stored("secretsmanager:model-key")
        values = await asyncio.gather(*(key.value() for _ in range(100)))

    assert set(values) == {KEY}
    assert store.calls == {"GetSecretValue": 1}


@pytest.mark.usefixtures("aws")
async def test_the_event_loop_goes_on_while_a_key_is_read() -> None:
    keep_secret(KEY)
    reading = asyncio.create_task(stored("secretsmanager:model-key").value())
    turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1

    assert await reading == KEY
    assert turns > 10


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("place", ["secretsmanager:nowhere", "ssm:/nowhere"])
async def test_a_key_that_is_not_there_is_for_the_operator(place: str) -> None:
    # moto imports a service when it is first asked, which may take longer than a key may.
    boto3.client("ssm").describe_parameters()

    with pytest.raises(ProviderError) as failed:
        await stored(place).value()

    assert (failed.value.code, failed.value.retryable) == ("key_unreadable", False)
    assert "nowhere" not in failed.value.message


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("text", ['{"OTHER": "x"}', "{broken", f'{{"{NAME}": 7}}'])
async def test_a_secret_without_the_key_in_it_is_for_the_operator(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    keep_secret(text)

    with pytest.raises(ProviderError) as failed:
        await stored("secretsmanager:model-key").value()

    assert failed.value.code == "key_unreadable"
    assert failed.value.__cause__ is None
    assert "OTHER" not in caplog.text


async def test_a_key_that_was_read_is_used_without_delay_while_the_store_fails(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret, "_READ_AGAIN_SECONDS", 0)
    monkeypatch.setattr(secret, "_PAUSE_SECONDS", 0)
    keep_secret(KEY)
    async with faulty(aws) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        key = stored("secretsmanager:model-key")
        assert await key.value() == KEY
        store.choose, store.delay = lambda _: Fault.FAIL, 0.5
        async with asyncio.timeout(0.4):
            for _ in range(20):
                assert await key.value() == KEY


@pytest.mark.usefixtures("aws")
async def test_a_key_that_was_changed_comes_into_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret, "_READ_AGAIN_SECONDS", 0)
    monkeypatch.setattr(secret, "_PAUSE_SECONDS", 0)
    keep_secret(KEY)
    key = stored("secretsmanager:model-key")
    await key.value()
    boto3.client("secretsmanager").put_secret_value(SecretId="model-key", SecretString="another")

    async with asyncio.timeout(10):
        while await key.value() != "another":  # noqa: ASYNC110 - it is read in the background
            await asyncio.sleep(0.01)


async def test_a_store_in_trouble_is_left_in_peace_for_a_while(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with faulty(aws) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        store.choose = lambda _: Fault.FAIL
        key = stored("secretsmanager:model-key")
        for _ in range(20):
            with pytest.raises(ProviderError):
                await key.value()

    assert store.calls["GetSecretValue"] == 2, "one reading, tried twice"


@pytest.mark.parametrize("fault", [Fault.THROTTLE, Fault.FAIL, Fault.REFUSE])
async def test_a_store_that_is_in_trouble_may_be_asked_again(
    aws: str, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(secret, "_PAUSE_SECONDS", 0)
    keep_secret(KEY)
    async with faulty(aws) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        key = stored("secretsmanager:model-key")
        store.choose = lambda _: fault
        with pytest.raises(ProviderError) as failed:
            await key.value()
        store.choose = lambda _: Fault.NONE
        assert await key.value() == KEY

    assert (failed.value.code, failed.value.retryable) == ("key_unavailable", True)


async def test_a_function_without_credentials_is_for_the_operator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")

    with pytest.raises(ProviderError) as failed:
        await stored("ssm:/models/key").value()

    assert failed.value.code == "key_unreadable"
