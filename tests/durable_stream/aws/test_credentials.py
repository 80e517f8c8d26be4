"""Credentials from the environment, the container's endpoint, and all that botocore finds."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from durable_stream import StoreRefused, StoreUnavailable
from durable_stream.aws.api import DynamoDB
from durable_stream.aws.credentials import FromBotocore, FromEnvironment, source
from durable_stream.aws.signing import Credentials
from tests.durable_stream.aws.peer import Peer, peer, sends, whole

pytestmark = pytest.mark.anyio

DEADLINE = 10
FULL_URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"


async def never(_url: str, _authorization: str | None) -> bytes:
    raise AssertionError("nothing is fetched")


async def test_credentials_in_the_environment_are_read_for_each_call() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"}
    found = source(environ, never)
    assert await found.get() == Credentials("a", "b", "c")

    environ |= {"AWS_ACCESS_KEY_ID": "d", "AWS_SESSION_TOKEN": "e"}
    assert await found.get() == Credentials("d", "b", "e")


@pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
async def test_half_of_the_credentials_is_refused_by_the_name_of_the_other_half(
    missing: str,
) -> None:
    environ = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    del environ[missing]
    with pytest.raises(StoreRefused, match=missing):
        await source(environ, never).get()


def test_no_secret_is_shown() -> None:
    assert "hidden" not in repr(Credentials("a", "hidden", "hidden"))


def told(key: str, *, seconds: float) -> bytes:
    """Credentials that last so long, as the container's endpoint tells them."""
    expiration = datetime.fromtimestamp(time.time() + seconds, UTC)
    return whole(
        {
            "AccessKeyId": key,
            "SecretAccessKey": "secret",
            "Token": "token",
            "Expiration": f"{expiration:%Y-%m-%dT%H:%M:%SZ}",
        }
    )


@pytest.fixture
async def container() -> AsyncIterator[Peer]:
    async with peer() as server:
        yield server


async def signed_with(environ: dict[str, str], dynamodb: Peer, calls: int = 1) -> list[str]:
    """The access keys of some calls made at once, and of one after them."""
    client = DynamoDB(
        {**environ, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": dynamodb.url}
    )
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(client.call("GetItem", {}) for _ in range(calls)))
        await client.call("GetItem", {})
    client.close()
    return [
        each.partition(b"Credential=")[2].partition(b"/")[0].decode() for each in dynamodb.requests
    ]


async def test_the_containers_endpoint_is_asked_once_for_all_calls(container: Peer) -> None:
    container.usual = sends(told("key", seconds=3600))
    environ = {
        FULL_URI: f"{container.url}/creds?a=b",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "let me",
    }
    async with peer() as dynamodb:
        assert await signed_with(environ, dynamodb, calls=5) == ["key"] * 6
        assert b"x-amz-security-token: token" in dynamodb.requests[0]
    [request] = container.requests
    assert request.startswith(b"GET /creds?a=b HTTP/1.1\r\n")
    assert b"\r\nauthorization: let me\r\n" in request


async def test_credentials_are_renewed_before_they_expire(container: Peer) -> None:
    container.acts = [sends(told("old", seconds=60)), sends(told("new", seconds=3600))]
    async with peer() as dynamodb:
        assert await signed_with({FULL_URI: container.url}, dynamodb) == ["old", "new"]


async def test_an_endpoint_that_is_silent_leaves_the_old_ones_for_their_time(
    container: Peer,
) -> None:
    container.acts = [sends(told("old", seconds=60))]
    container.usual = sends(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")
    async with peer() as dynamodb:
        assert await signed_with({FULL_URI: container.url}, dynamodb) == ["old", "old"]


@pytest.mark.parametrize(
    "answer", [whole({"Code": "x"}), whole([1]), b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"]
)
async def test_an_endpoint_without_credentials_is_a_store_that_is_unavailable(
    container: Peer, answer: bytes
) -> None:
    container.usual = sends(answer)
    async with peer() as dynamodb:
        with pytest.raises(StoreUnavailable, match="container"):
            await signed_with({FULL_URI: container.url}, dynamodb)
        assert dynamodb.requests == []


async def test_the_token_of_a_file_is_read_each_time(container: Peer, tmp_path: Path) -> None:
    """On EKS it changes during the life of a process."""
    file = tmp_path / "token"
    file.write_text("first")
    container.usual = sends(told("key", seconds=60))
    environ = {FULL_URI: container.url, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file)}
    async with peer() as dynamodb:
        await signed_with(environ, dynamodb)
        file.write_text("second")
        await signed_with(environ, dynamodb)
    tokens = [
        each.partition(b"authorization: ")[2].partition(b"\r\n")[0] for each in container.requests
    ]
    assert tokens == [b"first", b"first", b"second", b"second"]


@pytest.mark.parametrize(
    ("uri", "token"), [("http://example.com/creds", ""), ("http://127.0.0.1:1/", "a\r\nHost: b")]
)
async def test_credentials_are_not_asked_for_in_the_open(uri: str, token: str) -> None:
    found = source({FULL_URI: uri, "AWS_CONTAINER_AUTHORIZATION_TOKEN": token}, never)
    with pytest.raises(StoreRefused):
        await found.get()


async def test_all_other_places_are_botocores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = filed\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    found = source(os.environ, never)

    assert isinstance(found, FromBotocore)
    assert await found.get() == Credentials("filed", "secret", None)


async def test_no_credentials_anywhere_are_a_refusal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreRefused, match="no AWS credentials"):
        await source(os.environ, never).get()


def test_the_variables_go_first() -> None:
    environ: dict[str, Any] = {"AWS_ACCESS_KEY_ID": "a", FULL_URI: "http://127.0.0.1"}
    assert isinstance(source(environ, never), FromEnvironment)


async def test_a_token_file_that_is_missing_for_a_moment_is_trouble_that_passes(
    container: Peer, tmp_path: Path
) -> None:
    """The old credentials are used meanwhile."""
    file = tmp_path / "token"
    file.write_text("token")
    container.usual = sends(told("key", seconds=60))
    environ = {FULL_URI: container.url, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file)}
    client = DynamoDB(
        {**environ, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": "http://x"}
    )
    found = client._credentials
    async with asyncio.timeout(DEADLINE):
        kept = await found.get()
        file.unlink()
        assert await found.get() == kept
        with pytest.raises(StoreUnavailable, match="TOKEN_FILE"):
            await source(environ, never).get()
    client.close()


def test_an_empty_variable_names_no_place() -> None:
    environ = {FULL_URI: "", "AWS_ACCESS_KEY_ID": ""}
    assert isinstance(source(environ, never), FromBotocore)


async def test_a_role_that_cannot_be_assumed_now_is_trouble_that_passes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It comes as an error that is none of botocore's own base class."""
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    refusal = (
        b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error>"
        b"</ErrorResponse>"
    )
    answer = b"HTTP/1.1 403 X\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s"
    async with peer() as sts:
        sts.usual = sends(answer % (len(refusal), refusal))
        config = tmp_path / "config"
        config.write_text(
            "[profile base]\naws_access_key_id = a\naws_secret_access_key = b\n"
            "[profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n"
            "region = us-east-1\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.setenv("AWS_PROFILE", "role")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        with pytest.raises(StoreUnavailable, match="renewed"):
            await source(os.environ, never).get()
