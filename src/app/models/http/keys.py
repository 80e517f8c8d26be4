"""API keys for model services.

A key comes from the environment or from the store that it names (`app.secret`). A stored secret is
the key itself, or a JSON object with a member of the key's name, as the console of Secrets Manager
makes it.
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
    """A key; `member` is its name within a secret that holds several."""

    secret: Secret = field(repr=False)
    member: str

    async def value(self) -> str:
        """The key; raises ProviderError if it cannot be read."""
        try:
            text = await self.secret.text()
        except SecretUnavailable:
            raise failure("key_unavailable") from None
        except SecretRefused:
            raise failure("key_unreadable") from None
        try:
            return _key_in(text, self.member)
        except (AttributeError, KeyError, ValueError):
            # Without its cause: a JSON error quotes the text.
            logger.error("the stored key is not text, nor JSON with a member of its name")
            raise failure("key_unreadable") from None


def from_environ(environ: Mapping[str, str], name: str) -> Key | None:
    """The key of that name; None if the environment has neither the key nor its place.

    Raises ValueError if the place is malformed.
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
