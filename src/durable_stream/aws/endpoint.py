"""DynamoDB's address and region.

Two cases are decided here, because a function on Lambda is one of them and a local DynamoDB the
other: a region of the standard partition, or a URL in the environment. All other settings (a
profile, FIPS, dual-stack, other partitions) are botocore's to resolve, which is imported then.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from durable_stream.exceptions import StoreRefused

SERVICE = "dynamodb"

_URLS = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL")
_REGION = "AWS_DEFAULT_REGION"
# With any of these, more than the environment decides (AWS SDKs and Tools Reference Guide).
_BEYOND_THE_PLAIN_CASE = (
    "AWS_DEFAULTS_MODE",
    "AWS_DEFAULT_PROFILE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_PROFILE",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
)
_STANDARD_PARTITION = re.compile(r"(us|eu|ap|sa|ca|me|af|il|mx)-[a-z]{4,9}-[0-9]{1,2}")
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and the region that requests to it are signed for."""

    host: str
    port: int
    tls: bool
    region: str

    @classmethod
    def of(cls, url: str, region: str) -> "Endpoint":
        """The endpoint of a URL; raises StoreRefused."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise StoreRefused(f"DynamoDB's endpoint {url!r} is no URL: {error}") from error
        if parts.scheme not in _PORTS or not parts.hostname or parts.path not in ("", "/"):
            raise StoreRefused(
                f"DynamoDB's endpoint {url!r} must be http:// or https://, a host and a port"
            )
        port = _PORTS[parts.scheme] if port is None else port
        return cls(parts.hostname, port, parts.scheme == "https", region)

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_usual = self.port == _PORTS["https" if self.tls else "http"]
        return host if is_usual else f"{host}:{self.port}"


def resolve(environ: Mapping[str, str]) -> Endpoint:
    """DynamoDB's endpoint as botocore would choose it; raises StoreRefused."""
    if environ.get("AWS_ACCOUNT_ID_ENDPOINT_MODE", "").lower() == "required":
        raise StoreRefused(
            "AWS_ACCOUNT_ID_ENDPOINT_MODE is `required`, and the event log uses the endpoint of "
            "the region: set it to `preferred`, or remove it"
        )
    region = environ.get(_REGION, "")
    if region and not _needs_botocore(environ):
        url = next(filter(None, map(environ.get, _URLS)), None)
        if url is not None:
            return Endpoint.of(url, region)
        if _STANDARD_PARTITION.fullmatch(region):
            return Endpoint(f"{SERVICE}.{region}.amazonaws.com", 443, tls=True, region=region)
    return _as_botocore_resolves(environ)


def _needs_botocore(environ: Mapping[str, str]) -> bool:
    if any(map(environ.get, _BEYOND_THE_PLAIN_CASE)):
        return True
    home = environ.get("HOME", "")
    return Path(environ.get("AWS_CONFIG_FILE") or f"{home}/.aws/config").is_file()


def _as_botocore_resolves(environ: Mapping[str, str]) -> Endpoint:
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    if environ is not os.environ:
        raise StoreRefused("DynamoDB's endpoint needs more than the variables that were given")
    try:
        # Keys are not needed to resolve an address; without them botocore would look for some.
        client = Session().create_client(
            SERVICE,
            aws_access_key_id="none",
            aws_secret_access_key="none",  # noqa: S106 - no password
        )
    except (BotoCoreError, ValueError) as error:
        raise StoreRefused(f"DynamoDB cannot be called: {error}") from error
    return Endpoint.of(client.meta.endpoint_url, client.meta.region_name)
