"""This machine's Docker engine: its architecture, and how its containers reach the machine."""

import asyncio
import socket
from asyncio.subprocess import PIPE
from contextlib import closing
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network

from local.exceptions import CannotStart

CALL_LIMIT = 30.0
LOOPBACK = "127.0.0.1"
# An engine in a virtual machine gives its host this name, and forwards it to the host's loopback.
HOST_NAME = "host.docker.internal"


@dataclass(frozen=True)
class Engine:
    """A Docker engine.

    `architecture` is Lambda's name for it. A server that listens at `address` is reachable from
    containers as `name`, and is not reachable from other machines.
    """

    architecture: str
    address: str
    name: str


async def engine() -> Engine:
    """Describe the engine.

    Raises:
        CannotStart: no engine answers.
    """
    processor = await _docker("version", "--format", "{{.Server.Arch}}")
    subnets = await _docker(
        "network", "inspect", "bridge", "--format", "{{range .IPAM.Config}}{{.Subnet}} {{end}}"
    )
    architecture = "arm64" if processor.strip() == "arm64" else "x86_64"
    for network in map(ip_network, subnets.split()):
        # The gateway is the first address by default. Docker 20.10 does not report it.
        if isinstance(network, IPv4Network) and _can_listen(bridge := str(network[1])):
            return Engine(architecture, address=bridge, name=bridge)
    return Engine(architecture, address=LOOPBACK, name=HOST_NAME)


def _can_listen(address: str) -> bool:
    try:
        with closing(socket.create_server((address, 0))):
            return True
    except OSError:
        return False


async def _docker(*arguments: str) -> str:
    try:
        async with asyncio.timeout(CALL_LIMIT):
            process = await asyncio.create_subprocess_exec(
                "docker", *arguments, stdout=PIPE, stderr=PIPE
            )
            output, errors = await process.communicate()
    except FileNotFoundError:
        raise CannotStart(
            "there is no `docker` on the PATH: install Docker, and start it"
        ) from None
    except TimeoutError:
        raise CannotStart(f"Docker has not answered for {CALL_LIMIT:.0f} s: restart it") from None
    if process.returncode:
        raise CannotStart(f"Docker does not answer: {errors.decode(errors='replace').strip()}")
    return output.decode()
