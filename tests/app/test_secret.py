"""The reads of a store of secrets, and their number; against moto's server."""

from collections.abc import AsyncIterator, Callable

import boto3
import pytest

from app import secret
from app.exceptions import SecretUnavailable
from app.secret import StoredSecret
from tests.store import Fault, FaultyStore, faulty

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(aws: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FaultyStore]:
    """The way to an AWS account that keeps a secret; only the kept text paces the reads."""
    boto3.client("secretsmanager").create_secret(Name="kept", SecretString="old")
    monkeypatch.setattr(secret, "_PAUSE_SECONDS", 0)
    async with faulty(aws) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL", way.url)
        yield way


@pytest.fixture
def kept() -> StoredSecret:
    return StoredSecret("secretsmanager", "kept")


Change = Callable[[str], None]


@pytest.fixture
def change(aws: str) -> Change:
    """Change the secret, past the way that the test may have broken."""
    client = boto3.client("secretsmanager", endpoint_url=aws)
    return lambda text: client.put_secret_value(SecretId="kept", SecretString=text)


async def test_a_fresh_look_that_changed_nothing_is_followed_by_a_pause(
    store: FaultyStore, kept: StoredSecret
) -> None:
    """A stranger with a wrong token must not make a sandbox read the secret again and again."""
    await kept.text()

    assert {await kept.fresh_text() for _ in range(20)} == {"old"}

    assert store.calls == {"GetSecretValue": 2}


async def test_behind_the_pause_a_fresh_look_sees_a_change_and_may_look_again(
    store: FaultyStore, kept: StoredSecret, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret, "_PAUSE_UNCHANGED_SECONDS", 0)
    await kept.fresh_text()
    await kept.fresh_text()
    monkeypatch.setattr(secret, "_PAUSE_UNCHANGED_SECONDS", 60)
    change("new")

    assert await kept.fresh_text() == "new"
    change("newer")
    assert await kept.fresh_text() == "newer"
    assert store.calls["GetSecretValue"] == 4


async def test_a_look_that_fails_is_no_look_that_changed_nothing(
    store: FaultyStore, kept: StoredSecret, change: Change
) -> None:
    await kept.text()
    store.choose = lambda _: Fault.FAIL
    assert await kept.fresh_text() == "old"
    store.choose = lambda _: Fault.NONE
    change("new")

    assert await kept.fresh_text() == "new"


async def test_the_first_look_of_all_is_followed_by_no_pause(
    store: FaultyStore, kept: StoredSecret, change: Change
) -> None:
    store.choose = lambda _: Fault.FAIL
    with pytest.raises(SecretUnavailable):
        await kept.fresh_text()
    store.choose = lambda _: Fault.NONE
    assert await kept.fresh_text() == "old"
    change("new")

    assert await kept.fresh_text() == "new"
