"""A deployment that is real but for the cloud: `sam build`, `sam deploy`, Lambda's base image.

MiniStack takes AWS's place. It runs the function in the base image, under AWS's Runtime Interface
Emulator, which passes a streamed response on when it is complete.
"""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import httpx

from tests.ministack import ministack
from tests.plugin import ROOT
from tests.store import CREDENTIALS

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_SAM_SECONDS = 240
_DOCKER_SECONDS = 30
# The first answer waits for a container, and its cold start on a machine that others use too.
_ANSWER_SECONDS = 60


@dataclass(frozen=True)
class Stack:
    """A deployed stack: its outputs, and a client of its function URL."""

    url: str
    outputs: dict[str, str]

    def client(self, *, token: str | None = None) -> httpx.AsyncClient:
        """A client of the function URL; MiniStack tells functions apart by the host named."""
        headers = {"Host": urlsplit(self.outputs["FunctionUrl"]).netloc}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=_ANSWER_SECONDS)

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        """The table's service, as only a test asks it."""
        return boto3.client("dynamodb", **_connection(self.url))

    @cached_property
    def token(self) -> str:
        """The API token that the stack has generated in Secrets Manager."""
        service = boto3.client("secretsmanager", **_connection(self.url))
        kept = service.get_secret_value(SecretId=self.outputs["TokensSecretArn"])
        tokens: dict[str, str] = json.loads(kept["SecretString"])
        return tokens["default"]

    def kinds(self, stream_id: str) -> list[str]:
        """The kinds of a stream's records, in order, as the table has them now."""
        answer = self.dynamodb.query(
            TableName=self.outputs["TableName"],
            KeyConditionExpression="stream_id = :stream",
            ExpressionAttributeValues={":stream": {"S": stream_id}},
            ConsistentRead=True,
        )
        return [item["kind"]["S"] for item in answer["Items"]]


@dataclass(frozen=True)
class Cloud:
    """A MiniStack that runs functions in containers on a network of their own."""

    url: str
    network: str
    folder: Path

    def deploy(self, name: str, **parameters: str) -> Stack:
        """Deploy the build, with these parameters."""
        overrides = [f"{key}={value}" for key, value in parameters.items()]
        _sam(
            self.folder,
            "deploy",
            "--no-confirm-changeset",
            *("--stack-name", name),
            *("--parameter-overrides", *overrides),
            AWS_ENDPOINT_URL=self.url,
        )
        service = boto3.client("cloudformation", **_connection(self.url))
        (stack,) = service.describe_stacks(StackName=name)["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        return Stack(self.url, outputs)

    def containers(self) -> list[str]:
        """The sandboxes that run."""
        return docker("ps", "--quiet", "--filter", f"network={self.network}").split()


@contextmanager
def cloud(folder: Path) -> Iterator[Cloud]:
    """A cloud for as long as the block; the output of `make build` is there to be deployed."""
    _sam(folder, "build", "--template", str(ROOT / "template.yaml"))
    with _network() as (network, gateway):
        executor = {
            "LAMBDA_EXECUTOR": "docker",
            "LAMBDA_STRICT": "1",
            "LAMBDA_DOCKER_NETWORK": network,
        }
        with ministack(folder, executor, host=gateway) as url:
            yield Cloud(url, network, folder)


def _connection(url: str) -> dict[str, Any]:
    return {
        "endpoint_url": url,
        "region_name": CREDENTIALS["AWS_DEFAULT_REGION"],
        "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    }


def docker(*arguments: str) -> str:
    """The output of a docker command."""
    return _run(["docker", *arguments], seconds=_DOCKER_SECONDS)


@contextmanager
def _network() -> Iterator[tuple[str, str]]:
    """A Docker network without a way out, and this machine's address in it."""
    name = f"llm-stream-{secrets.token_hex(4)}"
    docker("network", "create", "--internal", name)
    try:
        (settings,) = json.loads(docker("network", "inspect", name))
        yield name, settings["IPAM"]["Config"][0]["Gateway"]
    finally:
        left = docker("ps", "--all", "--quiet", "--filter", f"network={name}").split()
        if left:
            docker("rm", "--force", "--volumes", *left)
        docker("network", "rm", name)


def _sam(folder: Path, command: str, *arguments: str, **environ: str) -> None:
    """Run SAM CLI as the Makefile does, except that it builds below `folder`."""
    path = f"{ROOT / '.venv-sam/bin'}{os.pathsep}{os.environ['PATH']}"
    _run(
        ["sam", command, "--config-file", str(ROOT / "samconfig.toml"), *arguments],
        seconds=_SAM_SECONDS,
        cwd=folder,
        environ={**CREDENTIALS, "SAM_CLI_TELEMETRY": "0", "PATH": path, **environ},
    )


def _run(
    command: list[str],
    *,
    seconds: float,
    cwd: Path | None = None,
    environ: dict[str, str] | None = None,
) -> str:
    done = subprocess.run(
        command,
        check=False,
        cwd=cwd,
        env={**os.environ, **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
    return done.stdout
