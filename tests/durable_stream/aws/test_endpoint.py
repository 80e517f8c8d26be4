"""The endpoint, judged by botocore's for the same environment."""

import os
from pathlib import Path

import pytest
from botocore.session import Session

from durable_stream import StoreRefused
from durable_stream.aws import endpoint
from durable_stream.aws.endpoint import Endpoint, resolve

LOCAL = "http://127.0.0.1:8000"
REGIONS = ["us-east-1", "eu-central-1", "ap-southeast-4", "us-gov-west-1", "cn-north-1"]
SETTINGS: list[dict[str, str]] = [
    {},
    {"AWS_USE_FIPS_ENDPOINT": "true"},
    {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
    {"AWS_ENDPOINT_URL": LOCAL},
    {"AWS_ENDPOINT_URL_DYNAMODB": "https://ddb.example.com"},
    {"AWS_ENDPOINT_URL_DYNAMODB": "http://[::1]:8000/", "AWS_ENDPOINT_URL": LOCAL},
    {"AWS_ENDPOINT_URL": LOCAL, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
    {"AWS_ENDPOINT_URL_DYNAMODB": "", "AWS_ENDPOINT_URL": ""},
]


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """None of the shell's settings."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


def botos() -> Endpoint:
    client = Session().create_client(
        "dynamodb", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    return Endpoint.of(client.meta.endpoint_url, client.meta.region_name)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("region", REGIONS)
def test_an_endpoint_is_the_one_that_botocore_chooses(
    region: str, settings: dict[str, str], environ: pytest.MonkeyPatch
) -> None:
    for name, value in {"AWS_DEFAULT_REGION": region, **settings}.items():
        environ.setenv(name, value)

    assert resolve(os.environ) == botos()


def test_a_profile_decides_as_it_does_for_botocore(
    environ: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = "[default]\nregion = eu-west-3\n[profile far]\nregion = ap-east-1\n"
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text(config)
    assert resolve(os.environ) == botos()

    environ.setenv("AWS_PROFILE", "far")
    assert resolve(os.environ) == botos()
    assert resolve(os.environ).region == "ap-east-1"


def test_the_plain_cases_need_no_botocore(environ: pytest.MonkeyPatch) -> None:
    environ.setattr(endpoint, "_as_botocore_resolves", None)
    environ.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert resolve(os.environ).host == "dynamodb.eu-central-1.amazonaws.com"

    environ.setenv("AWS_ENDPOINT_URL", LOCAL)
    assert resolve(os.environ).authority == "127.0.0.1:8000"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"AWS_DEFAULT_REGION": "evil.example.com/#"},
        {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": "ftp://x"},
        {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": "http://x:port"},
        {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": "http://x/path"},
        {"AWS_DEFAULT_REGION": "us-east-1", "AWS_PROFILE": "missing"},
        {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCOUNT_ID_ENDPOINT_MODE": "required"},
    ],
)
def test_what_names_no_endpoint_is_refused(
    settings: dict[str, str], environ: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        environ.setenv(name, value)

    with pytest.raises(StoreRefused):
        resolve(os.environ)
