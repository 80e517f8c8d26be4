"""The keys of the models' services.

`NAME` in the environment is the key itself, on a machine of one's own. On Lambda, `NAME_FROM`
says where it is kept, so that neither the template nor the console shows it:

    ANTHROPIC_API_KEY_FROM=secretsmanager:<name or ARN>
    ANTHROPIC_API_KEY_FROM=ssm:<name of a SecureString>

What is kept there is the key, or a JSON object with a member of that name, which is what the
console of Secrets Manager makes. It is read at the first request and again every five minutes, so
that a rotated key comes into use without a deployment.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol, TypeAlias

from app.exceptions import ProviderError
from app.log import logger
from app.providers.failures import failure

Store: TypeAlias = Literal["secretsmanager", "ssm"]

_STORES: tuple[Store, ...] = ("secretsmanager", "ssm")
_READ_AGAIN_SECONDS = 300

_CONNECT_SECONDS = 1
_READ_SECONDS = 3

# What asking again does not mend: no permission, no such secret, not decryptable.
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


class Key(Protocol):
    """Something that has a key; `value` raises ProviderError if it cannot be had."""

    async def value(self) -> str: ...


@dataclass(frozen=True, slots=True)
class GivenKey:
    """A key that the environment holds."""

    text: str = field(repr=False)

    async def value(self) -> str:
        """The key."""
        return self.text


class StoredKey:
    """A key that is kept in AWS, and read when it is needed.

    `name` is where it is within the store; `member` is its name if it is one of several.
    """

    def __init__(self, store: Store, name: str, member: str) -> None:
        self._store = store
        self._name = name
        self._member = member
        self._reading = asyncio.Lock()
        self._get: Callable[[str], object] | None = None

    async def value(self) -> str:
        """The key, read now or in the last minutes."""
        # One at a time: after a cold start, many requests would ask the store for the same.
        async with self._reading:
            kept = await asyncio.to_thread(self._read)
        try:
            return _key_in(kept, self._member)
        except (AttributeError, KeyError, ValueError):
            # Without its cause: the message of a JSON error comes with the text it is about.
            logger.error("the stored key is not text, nor JSON with a member of its name")
            raise failure("key_unreadable") from None

    # In a thread

    def _read(self) -> object:
        from aws_lambda_powertools.utilities.parameters import GetParameterError
        from botocore.exceptions import BotoCoreError

        try:
            if self._get is None:
                self._get = _getter(self._store)
            return self._get(self._name)
        except BotoCoreError as error:
            raise _translated(error) from None
        except GetParameterError as error:
            raise _translated(error.__context__ or error) from None


def from_environ(environ: Mapping[str, str], name: str) -> Key | None:
    """The key of that name; None if the environment knows nothing of it.

    Raises ValueError if it says where the key is in a way that is not understood.
    """
    if given := environ.get(name, "").strip():
        return GivenKey(given)
    place = environ.get(f"{name}_FROM", "").strip()
    if not place:
        return None
    store, _, where = place.partition(":")
    for known in _STORES:
        if store == known and where:
            return StoredKey(known, where, member=name)
    raise ValueError(
        f"{name}_FROM must be secretsmanager:<name or ARN> or ssm:<name>, and it is neither"
    )


def is_set(environ: Mapping[str, str], name: str) -> bool:
    """Whether the environment has the key of that name, or says where it is."""
    return any(environ.get(variable, "").strip() for variable in (name, f"{name}_FROM"))


def _getter(store: Store) -> Callable[[str], object]:
    """Powertools' cached way to read from a store."""
    from aws_lambda_powertools.utilities.parameters import SecretsProvider, SSMProvider
    from botocore.config import Config

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 2},
    )
    if store == "ssm":
        parameters = SSMProvider(boto_config=config)
        return partial(parameters.get, max_age=_READ_AGAIN_SECONDS, decrypt=True)
    secrets = SecretsProvider(boto_config=config)
    return partial(secrets.get, max_age=_READ_AGAIN_SECONDS)


def _translated(error: BaseException) -> ProviderError:
    """What to tell of a failed read; the log gets its code, which names no secret."""
    from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError

    code = type(error).__name__
    if isinstance(error, ClientError):
        code = error.response["Error"]["Code"]
    logger.error("the key cannot be read", extra={"error": code})
    if code in _REFUSALS or isinstance(error, NoCredentialsError | NoRegionError):
        return failure("key_unreadable")
    return failure("key_unavailable")


def _key_in(kept: object, member: str) -> str:
    text = kept.decode() if isinstance(kept, bytes) else str(kept)
    key = text.strip()
    if key.startswith("{"):
        key = json.loads(key)[member].strip()
    if not key:
        raise ValueError("empty")
    return key
