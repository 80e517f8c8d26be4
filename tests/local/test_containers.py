"""The description of a Docker engine, from the output of its command line."""

import socket
from pathlib import Path

import pytest

from local.containers import Engine, engine
from local.exceptions import CannotStart

pytestmark = pytest.mark.anyio


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the only command on the PATH; it does not exist yet."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "docker"


def runs(docker: Path, script: str) -> None:
    docker.write_text(f"#!/bin/sh\n{script}\n")
    docker.chmod(0o755)


def answers(docker: Path, processor: str, subnets: str) -> None:
    runs(docker, f'[ $1 = version ] && echo {processor} || echo "{subnets}"')


async def test_the_address_for_an_engine_on_this_machine_is_its_bridge(docker: Path) -> None:
    """Only containers and this machine can reach it."""
    answers(docker, "amd64", "fd00::/64 127.0.0.0/8 ")

    assert await engine() == Engine("x86_64", address="127.0.0.1", name="127.0.0.1")


async def test_an_engine_in_a_virtual_machine_has_a_name_for_this_machine(docker: Path) -> None:
    """Docker Desktop's bridge is an address of the virtual machine, not of this one."""
    answers(docker, "arm64", "203.0.113.0/24 ")

    assert await engine() == Engine("arm64", address="127.0.0.1", name="host.docker.internal")


@pytest.mark.usefixtures("docker")
async def test_without_docker_the_error_says_what_to_install() -> None:
    with pytest.raises(CannotStart, match="install Docker"):
        await engine()


async def test_an_error_of_docker_is_part_of_the_message(docker: Path) -> None:
    runs(docker, "echo Is the daemon running? >&2; exit 1")

    with pytest.raises(CannotStart, match=r"Is the daemon running\?"):
        await engine()


@pytest.mark.docker
async def test_the_address_of_this_machines_engine_can_be_listened_on() -> None:
    found = await engine()

    with socket.create_server((found.address, 0)):
        assert found.architecture in {"arm64", "x86_64"}
