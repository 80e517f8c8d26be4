"""This machine's Docker engine: its processor, and how its containers reach the machine."""

import asyncio
import socket
from asyncio.subprocess import PIPE
from contextlib import closing
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network

from local.exceptions import CannotStart

CALL_LIMIT = 30.0
LOOPBACK = "127.0.0.1"
# What an engine in a virtual machine calls the machine around it; that one is reached at loopback.
AROUND = "host.docker.internal"


@dataclass(frozen=True)
class Engine:
    """What runs the containers.

    `architecture` is in Lambda's words. A server that listens at `address` is found by containers
    under `name`, and from outside this machine not at all.
    """

    architecture: str
    address: str
    name: str


async def engine() -> Engine:
    """Ask the engine.

    Raises:
        CannotStart: there is none that answers.
    """
    processor = await _docker("version", "--format", "{{.Server.Arch}}")
    subnets = await _docker(
        "network", "inspect", "bridge", "--format", "{{range .IPAM.Config}}{{.Subnet}} {{end}}"
    )
    architecture = "arm64" if processor.strip() == "arm64" else "x86_64"
    for network in map(ip_network, subnets.split()):
        # Not the network's `Gateway`, which older engines leave out (20.10 does); it is the first
        # address, unless somebody chose another.
        if isinstance(network, IPv4Network) and _is_ours(bridge := str(network[1])):
            return Engine(architecture, address=bridge, name=bridge)
    return Engine(architecture, address=LOOPBACK, name=AROUND)


def _is_ours(address: str) -> bool:
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
            said, complaint = await process.communicate()
    except FileNotFoundError:
        raise CannotStart(
            "there is no `docker` on the PATH: install Docker, and start it"
        ) from None
    except TimeoutError:
        raise CannotStart(f"Docker has not answered for {CALL_LIMIT:.0f} s: restart it") from None
    if process.returncode:
        raise CannotStart(f"Docker does not answer: {complaint.decode(errors='replace').strip()}")
    return said.decode()
