"""Secrets: values in the environment, or in a store that the environment names.

`NAME` in the environment is the secret itself, for local use. On Lambda, `NAME_FROM` names its
place in a store, so that neither the template nor the console shows it:

    ANTHROPIC_API_KEY_FROM=secretsmanager:<name or ARN>
    ANTHROPIC_API_KEY_FROM=ssm:<name of a SecureString>

A stored secret is read when it is first needed, and again every five minutes while the last value
stays in use. So a rotated secret comes into use without a deployment and without delaying requests.
A request with an unknown token makes it read at once. A read that changed nothing is followed by a
minute without such reads, since strangers send wrong tokens and each read is paid for. After a
failure the store is not asked again for a few seconds; a refusal takes the secret away.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol, TypeAlias

from app.exceptions import SecretError, SecretRefused, SecretUnavailable
from app.log import logger

Store: TypeAlias = Literal["secretsmanager", "ssm"]

_STORES: tuple[Store, ...] = ("secretsmanager", "ssm")
_READ_AGAIN_SECONDS = 300
_PAUSE_SECONDS = 5
_PAUSE_UNCHANGED_SECONDS = 60

_CONNECT_SECONDS = 1
_READ_SECONDS = 3

# Another try does not help: no permission, no such secret, not decryptable.
_REFUSALS = frozenset(
    {
        "AccessDeniedException",
        "DecryptionFailure",
        "InvalidKeyId",
        "InvalidParameterException",
        "InvalidRequestException",
        "ParameterNotFound",
        "ResourceNotFoundException",
        "UnrecognizedClientException",
        "ValidationException",
    }
)


class Secret(Protocol):
    """A secret; its methods raise SecretUnavailable or SecretRefused if it cannot be read."""

    async def text(self) -> str: ...

    async def fresh_text(self) -> str:
        """As `text`, for a caller that has reason to believe that it has changed."""
        ...


@dataclass(frozen=True, slots=True)
class GivenSecret:
    """A secret in the environment."""

    given: str = field(repr=False)

    async def text(self) -> str:
        """The secret."""
        return self.given

    async def fresh_text(self) -> str:
        """The secret, which does not change."""
        return self.given


class StoredSecret:
    """A secret in a store of AWS. `name` is its place there."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._text: str | None = None
        self._failure: SecretError = SecretUnavailable("not read yet")
        self._began_at = -math.inf
        self._look_again_at = -math.inf
        self._reading: asyncio.Task[bool] | None = None
        self._get: Callable[[str], object] | None = None

    async def text(self) -> str:
        """The secret, as it was read in the last minutes."""
        if self._text is None:
            await self._read_again()
        elif self._age() > _READ_AGAIN_SECONDS:
            self._begin()
        if self._text is None:
            raise self._failure
        return self._text

    async def fresh_text(self) -> str:
        """The secret, as it was read in the last seconds, or in the minute since a look in vain."""
        clock = asyncio.get_running_loop().time
        if clock() >= self._look_again_at and await self._read_again():
            self._look_again_at = clock() + _PAUSE_UNCHANGED_SECONDS
        return await self.text()

    async def _read_again(self) -> bool:
        """Return True if the store was read and has the text that we know."""
        reading = self._begin()
        # Other callers wait for the same read, and must not lose it if one is cancelled.
        return reading is not None and await asyncio.shield(reading)

    def _begin(self) -> "asyncio.Task[bool] | None":
        """The read that is under way; None if there was one a moment ago."""
        if self._reading is None or self._reading.done():
            if self._age() < _PAUSE_SECONDS:
                return None
            self._began_at = asyncio.get_running_loop().time()
            self._reading = asyncio.create_task(self._read())
        return self._reading

    def _age(self) -> float:
        return asyncio.get_running_loop().time() - self._began_at

    async def _read(self) -> bool:
        """Read the secret; true if it is the one we know."""
        known = self._text
        try:
            self._text = await asyncio.to_thread(self._ask)
        except SecretUnavailable as failure:
            self._failure = failure
            return False
        except SecretRefused as refusal:
            self._text, self._failure = None, refusal
            return False
        return self._text == known

    # In a thread

    def _ask(self) -> str:
        from aws_lambda_powertools.utilities.parameters import GetParameterError
        from botocore.exceptions import BotoCoreError

        try:
            if self._get is None:
                self._get = _getter(self._store)
            kept = self._get(self._name)
        except BotoCoreError as error:
            raise _translated(error) from None
        except GetParameterError as error:
            raise _translated(error.__context__ or error) from None
        return (kept.decode() if isinstance(kept, bytes) else str(kept)).strip()


def from_environ(environ: Mapping[str, str], name: str) -> Secret | None:
    """The secret of that name; None if the environment does not mention it.

    Raises ValueError if its place is malformed.
    """
    if given := environ.get(name, "").strip():
        return GivenSecret(given)
    place = environ.get(f"{name}_FROM", "").strip()
    if not place:
        return None
    store, _, where = place.partition(":")
    for known in _STORES:
        if store == known and where:
            return StoredSecret(known, where)
    raise ValueError(
        f"{name}_FROM must be secretsmanager:<name or ARN> or ssm:<name>, and it is neither"
    )


def _getter(store: Store) -> Callable[[str], object]:
    """Powertools' way to read from a store, without its cache, which would make callers wait."""
    from aws_lambda_powertools.utilities.parameters import SecretsProvider, SSMProvider
    from botocore.config import Config

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 2},
    )
    if store == "ssm":
        return partial(SSMProvider(boto_config=config).get, force_fetch=True, decrypt=True)
    return partial(SecretsProvider(boto_config=config).get, force_fetch=True)


def _translated(error: BaseException) -> SecretError:
    """The error for a failed read; the log gets its code, which names no secret."""
    from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError

    code = type(error).__name__
    if isinstance(error, ClientError):
        code = error.response["Error"]["Code"]
    logger.error("a secret cannot be read", extra={"error": code})
    if code in _REFUSALS or isinstance(error, NoCredentialsError | NoRegionError):
        return SecretRefused(code)
    return SecretUnavailable(code)
