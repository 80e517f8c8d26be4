from ipaddress import IPv4Address, IPv6Address

import pytest

from local.hosts import is_ours, split_host


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:3000", "127.0.0.1", "127.0.0.1:3000", "127.1.2.3:1", "[::1]:3000"],
)
def test_loopbacks_names_are_ours(host: str) -> None:
    assert is_ours(host, "192.0.2.7")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "attacker.example",
        "attacker.example:3000",
        "localhost.attacker.example",
        "127.0.0.1.attacker.example:3000",
        "attacker.example@localhost",
        "localhost:3000:3000",
        "192.0.2.8:3000",
        "[::2]:3000",
        "[localhost]",
        "0.0.0.0:3000",
    ],
)
def test_another_name_is_not_ours(host: str) -> None:
    assert not is_ours(host, "127.0.0.1", "192.0.2.7")


@pytest.mark.parametrize("host", ["192.0.2.7:3000", "my-machine", "MY-MACHINE:3000"])
def test_a_given_name_or_address_is_ours(host: str) -> None:
    assert is_ours(host, "my-machine", "192.0.2.7")


@pytest.mark.parametrize("address", [IPv4Address(0), IPv6Address(0)])
def test_0_0_0_0_accepts_every_address_and_no_further_name(address: IPv4Address) -> None:
    assert is_ours("192.0.2.7:3000", str(address))
    assert not is_ours("attacker.example", str(address))


@pytest.mark.parametrize(
    ("host", "parts"),
    [("a:1", ("a", "1")), ("A", ("a", "")), ("[::1]:80", ("::1", "80")), ("a:b", ("", ""))],
)
def test_a_host_is_split_into_name_and_port(host: str, parts: tuple[str, str]) -> None:
    assert split_host(host) == parts
