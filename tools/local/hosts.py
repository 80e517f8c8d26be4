"""Checks the `Host` header, against DNS rebinding.

A page of another site cannot read the responses of a server on this machine, unless its own domain
resolves to 127.0.0.1 (DNS rebinding): then the browser treats both as one site. `Host` still has
the name of that site, so it is refused.
"""

import re
from ipaddress import ip_address

LOCALHOST = "localhost"
_HOST = re.compile(
    r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<name>[^\s:/@\[\]]+))(?::(?P<port>[0-9]*))?"
)


def split_host(host: str) -> tuple[str, str]:
    """Split a `Host` header into a lower-case name and a port; a missing part is empty."""
    found = _HOST.fullmatch(host)
    if found is None:
        return "", ""
    return (found["ipv6"] or found["name"]).lower(), found["port"] or ""


def is_ours(host: str, *given: str) -> bool:
    """Return True if a `Host` header names loopback, or one of the given names and addresses.

    If 0.0.0.0 is given, any IP address is accepted: the machine's addresses are not known, and an
    IP address cannot be rebound.
    """
    name, _ = split_host(host)
    if name == LOCALHOST or name in {each.lower() for each in given}:
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or any(map(_is_every_address, given))


def _is_every_address(given: str) -> bool:
    try:
        return ip_address(given).is_unspecified
    except ValueError:
        return False
