"""The names in `Host` under which a server of this machine answers.

A page of another site cannot read what a server here says. It can once the name of its site has
been made to mean 127.0.0.1 (DNS rebinding): the browser then takes both for one site. `Host` still
has the name of that site.
"""

import re
from ipaddress import ip_address

LOCALHOST = "localhost"
_HOST = re.compile(
    r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<name>[^\s:/@\[\]]+))(?::(?P<port>[0-9]*))?"
)


def split_host(host: str) -> tuple[str, str]:
    """The name, in lower case, and the port of a `Host` header; what is not there is empty."""
    found = _HOST.fullmatch(host)
    if found is None:
        return "", ""
    return (found["ipv6"] or found["name"]).lower(), found["port"] or ""


def is_ours(host: str, *given: str) -> bool:
    """Tell if a `Host` header has a name of loopback, or one of the given names and addresses.

    Where every address of the machine is given (0.0.0.0), any address will do: there is no other
    way to say which they are, and an address cannot be made to mean another.
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
