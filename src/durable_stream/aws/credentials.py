"""The caller's credentials, renewed before they expire.

Lambda puts them into the environment; under SnapStart and on Fargate an endpoint of the container
gives them (AWS SDKs and Tools Reference Guide, "Container credential provider"). All other places
(files, single sign-on, EC2) are left to botocore, which is imported then.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from durable_stream.aws.signing import Credentials
from durable_stream.exceptions import StoreRefused, StoreUnavailable
from durable_stream.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from botocore.credentials import Credentials as BotocoreCredentials

    Get = Callable[[str, str | None], Awaitable[bytes]]

_ACCESS_KEY = "AWS_ACCESS_KEY_ID"
_SECRET_KEY = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - a variable's name
_RELATIVE_URI = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
_FULL_URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105 - a variable's name
_TOKEN_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"  # noqa: S105 - a variable's name

_CONTAINER = "http://169.254.170.2"
# Without TLS the credentials are asked for on this machine only.
_CONTAINER_HOSTS = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23", "localhost"})
_RENEW_SECONDS = 600
# botocore asks some places several times.
_BOTOCORE_SECONDS = 10


class CredentialSource(Protocol):
    """A place where credentials come from."""

    async def get(self) -> Credentials:
        """Valid credentials; raises StoreUnavailable or StoreRefused."""
        ...


def source(environ: Mapping[str, str], get: "Get") -> CredentialSource:
    """The place that the environment names. `get` fetches a URL with an Authorization header."""
    if environ.get(_ACCESS_KEY) or environ.get(_SECRET_KEY):
        return FromEnvironment(environ)
    if environ.get(_RELATIVE_URI) or environ.get(_FULL_URI):
        return FromContainer(environ, get)
    return FromBotocore()


class FromEnvironment:
    """Credentials in variables, which are read for each call: they may be renewed there."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    async def get(self) -> Credentials:
        """The credentials of this moment."""
        access, secret = self._environ.get(_ACCESS_KEY), self._environ.get(_SECRET_KEY)
        if not access or not secret:
            missing = _SECRET_KEY if access else _ACCESS_KEY
            raise StoreRefused(f"DynamoDB cannot be called: {missing} is not set")
        token = self._environ.get("AWS_SESSION_TOKEN") or self._environ.get("AWS_SECURITY_TOKEN")
        return Credentials(access, secret, token or None)


class FromContainer:
    """Credentials of the container's endpoint, which are asked for again before they expire."""

    def __init__(self, environ: Mapping[str, str], get: "Get") -> None:
        self._environ = environ
        self._get = get
        self._kept: tuple[Credentials, float] | None = None
        self._asking = asyncio.Lock()

    async def get(self) -> Credentials:
        """The credentials; one request is made for all calls that wait for it."""
        if (kept := self._valid(_RENEW_SECONDS)) is not None:
            return kept
        async with self._asking:
            if (kept := self._valid(_RENEW_SECONDS)) is not None:
                return kept
            try:
                self._kept = await self._ask()
            except StoreUnavailable:
                # The old ones are still good for some minutes.
                if (kept := self._valid(0)) is not None:
                    return kept
                raise
            return self._kept[0]

    def _valid(self, seconds: float) -> Credentials | None:
        """The credentials that are known, if they last so long. A snapshot stops other clocks."""
        if self._kept is None or self._kept[1] - time.time() <= seconds:
            return None
        return self._kept[0]

    async def _ask(self) -> tuple[Credentials, float]:
        body = await self._get(self._uri(), await in_thread(self._authorization))
        try:
            told = json.loads(body)
            credentials = Credentials(told["AccessKeyId"], told["SecretAccessKey"], told["Token"])
            expiration = datetime.fromisoformat(told["Expiration"])
            return credentials, expiration.timestamp()
        except (ValueError, KeyError, TypeError):
            raise StoreUnavailable("the container's endpoint gave no credentials") from None

    def _uri(self) -> str:
        if relative := self._environ.get(_RELATIVE_URI):
            return _CONTAINER + relative
        uri = self._environ[_FULL_URI]
        parts = urlsplit(uri)
        if parts.scheme != "https" and not _is_local(parts.hostname or ""):
            raise StoreRefused(f"{_FULL_URI} must be https, or an address of this machine")
        return uri

    def _authorization(self) -> str | None:
        """The token for the endpoint. Its file may change, and reading it may block."""
        path = self._environ.get(_TOKEN_FILE)
        try:
            token = Path(path).read_text() if path else self._environ.get(_TOKEN)
        except (OSError, UnicodeDecodeError) as error:
            raise StoreUnavailable(f"{_TOKEN_FILE} cannot be read: {error}") from error
        if token is not None and ("\r" in token or "\n" in token):
            raise StoreRefused("the token for the container's endpoint has a line break")
        return token


class FromBotocore:
    """Credentials of any other place that botocore knows, which renews them."""

    def __init__(self) -> None:
        self._found: BotocoreCredentials | None = None
        self._kept: Credentials | None = None
        self._asking = asyncio.Lock()

    async def get(self) -> Credentials:
        """The credentials; botocore reads files and asks servers, so it does so in a thread."""
        async with self._asking:
            if self._kept is None or self._is_old():
                try:
                    async with asyncio.timeout(_BOTOCORE_SECONDS):
                        self._kept = await in_thread(self._ask)
                except TimeoutError:
                    raise StoreUnavailable("botocore has found no credentials in time") from None
            return self._kept

    def _is_old(self) -> bool:
        """True if botocore would renew them now; those that never change cannot say so."""
        refresh_needed = getattr(self._found, "refresh_needed", None)
        return refresh_needed is not None and bool(refresh_needed())

    def _ask(self) -> Credentials:
        from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError
        from botocore.session import Session

        try:
            self._found = self._found or Session().get_credentials()
            if self._found is None:
                raise StoreRefused("DynamoDB cannot be called: there are no AWS credentials")
            frozen = self._found.get_frozen_credentials()
        except (ClientError, CredentialRetrievalError) as error:
            raise StoreUnavailable(f"the credentials cannot be renewed: {error}") from error
        except BotoCoreError as error:
            raise StoreRefused(f"DynamoDB cannot be called: {error}") from error
        if not frozen.access_key or not frozen.secret_key:
            raise StoreRefused("DynamoDB cannot be called: the AWS credentials have no keys")
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)


def _is_local(host: str) -> bool:
    if host in _CONTAINER_HOSTS:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
