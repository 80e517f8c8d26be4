"""The authorities: Amazon's at first, then all of the system's."""

import ssl
from pathlib import Path

import pytest

from durable_stream.aws.connections import Connections
from durable_stream.aws.endpoint import Endpoint
from durable_stream.aws.trust import Trust
from durable_stream.exceptions import StoreRefused
from tests import certificate
from tests.durable_stream.aws.peer import peer

pytestmark = pytest.mark.anyio

_REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
_AMAZON = "Amazon Root CA 1"


def bundle(path: Path, *files: Path) -> str:
    """A file of authorities."""
    path.write_bytes(b"".join(each.read_bytes() for each in files))
    return str(path)


def authority(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """An authority of this name, and a server that it vouches for."""
    folder.mkdir()
    return certificate.make(folder, name)


async def answered(url: str, trust: Trust) -> bool:
    """True if a server is reached by a client with these authorities."""
    connections = Connections(Endpoint.of(url, "us-east-1"), trust)
    try:
        return (await connections.exchange(_REQUEST, 10)).status == 200
    finally:
        connections.close()


@pytest.fixture
def amazon(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """An authority with the name of one of Amazon's."""
    return authority(tmp_path / "amazon", _AMAZON)


@pytest.fixture
def other(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """Another authority of the system."""
    return authority(tmp_path / "other", "Other CA")


async def test_amazons_authorities_are_enough_for_its_servers(
    tmp_path: Path,
    amazon: tuple[Path, ssl.SSLContext],
    other: tuple[Path, ssl.SSLContext],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", bundle(tmp_path / "system.pem", other[0], amazon[0]))
    trust = Trust()
    assert trust.context.cert_store_stats()["x509_ca"] == 1
    async with peer(amazon[1]) as server:
        assert await answered(server.url, trust)
    assert not trust.is_whole


async def test_a_server_with_another_authority_of_the_system_is_trusted(
    tmp_path: Path,
    amazon: tuple[Path, ssl.SSLContext],
    other: tuple[Path, ssl.SSLContext],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", bundle(tmp_path / "system.pem", other[0], amazon[0]))
    trust = Trust()
    async with peer(other[1]) as server:
        assert await answered(server.url, trust)
    assert trust.is_whole


async def test_an_authority_that_the_system_does_not_have_is_refused_whatever_its_name(
    tmp_path: Path,
    other: tuple[Path, ssl.SSLContext],
    amazon: tuple[Path, ssl.SSLContext],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, imposter = authority(tmp_path / "imposter", _AMAZON)
    monkeypatch.setenv("SSL_CERT_FILE", bundle(tmp_path / "system.pem", other[0], amazon[0]))
    async with peer(imposter) as server:
        with pytest.raises(StoreRefused, match="cannot be verified"):
            await answered(server.url, Trust())
        assert server.requests == []


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nQW1hem9uIFJvb3QgQ0EgMQ=="])
def test_a_file_without_amazons_authorities_is_left_to_openssl(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "system.pem").write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))
    assert Trust().is_whole


def test_a_bundle_that_is_named_is_all_that_is_trusted(
    other: tuple[Path, ssl.SSLContext],
    amazon: tuple[Path, ssl.SSLContext],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(amazon[0]))
    trust = Trust(str(other[0]))
    assert trust.is_whole
    assert [each["subject"] for each in trust.context.get_ca_certs()] == [
        ((("commonName", "Other CA"),),)
    ]


def test_a_bundle_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="AWS_CA_BUNDLE"):
        Trust(str(tmp_path / "none.pem"))
