"""The keys of the models' services.

They come from the environment or from where it says (`app.secret`). What is kept there is the
key, or a JSON object with a member of that name, which is what the console of Secrets Manager
makes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from app import secret
from app.exceptions import SecretRefused, SecretUnavailable
from app.log import logger
from app.models.failures import failure
from app.secret import Secret


@dataclass(frozen=True, slots=True)
class Key:
    """A key; `member` is its name where it is one of several in a secret."""

    secret: Secret = field(repr=False)
    member: str

    async def value(self) -> str:
        """The key; raises ProviderError if it cannot be had."""
        try:
            text = await self.secret.text()
        except SecretUnavailable:
            raise failure("key_unavailable") from None
        except SecretRefused:
            raise failure("key_unreadable") from None
        try:
            return _key_in(text, self.member)
        except (AttributeError, KeyError, ValueError):
            # Without its cause: the message of a JSON error comes with the text it is about.
            logger.error("the stored key is not text, nor JSON with a member of its name")
            raise failure("key_unreadable") from None


def from_environ(environ: Mapping[str, str], name: str) -> Key | None:
    """The key of that name; None if the environment knows nothing of it.

    Raises ValueError if it says where the key is in a way that is not understood.
    """
    found = secret.from_environ(environ, name)
    return None if found is None else Key(found, name)


def _key_in(text: str, member: str) -> str:
    key = text
    if key.startswith("{"):
        key = json.loads(key)[member].strip()
    if not key:
        raise ValueError("empty")
    return str(key)
