"""What is found out about a Docker engine, of which the command line is all that is asked."""

import socket
from pathlib import Path

import pytest

from local.containers import Engine, engine
from local.exceptions import CannotStart

pytestmark = pytest.mark.anyio


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only command on the PATH besides a shell; it does not exist yet."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "docker"


def runs(docker: Path, script: str) -> None:
    docker.write_text(f"#!/bin/sh\n{script}\n")
    docker.chmod(0o755)


def answers(docker: Path, processor: str, subnets: str) -> None:
    runs(docker, f'[ $1 = version ] && echo {processor} || echo "{subnets}"')


async def test_an_engine_on_this_machine_is_met_on_its_bridge(docker: Path) -> None:
    """Only containers and this machine can reach an address there."""
    answers(docker, "amd64", "fd00::/64 127.0.0.0/8 ")

    assert await engine() == Engine("x86_64", address="127.0.0.1", name="127.0.0.1")


async def test_an_engine_in_a_virtual_machine_knows_a_name_for_this_one(docker: Path) -> None:
    """As Docker Desktop's does, whose bridge is an address of that machine and not of this one."""
    answers(docker, "arm64", "203.0.113.0/24 ")

    assert await engine() == Engine("arm64", address="127.0.0.1", name="host.docker.internal")


@pytest.mark.usefixtures("docker")
async def test_without_docker_it_is_told_what_to_install() -> None:
    with pytest.raises(CannotStart, match="install Docker"):
        await engine()


async def test_what_docker_complains_of_is_passed_on(docker: Path) -> None:
    runs(docker, "echo Is the daemon running? >&2; exit 1")

    with pytest.raises(CannotStart, match=r"Is the daemon running\?"):
        await engine()


@pytest.mark.docker
async def test_the_engine_of_this_machine_is_found() -> None:
    found = await engine()

    with socket.create_server((found.address, 0)):
        assert found.architecture in {"arm64", "x86_64"}
