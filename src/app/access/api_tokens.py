"""API tokens: each lets its holder create streams.

They come as one JSON object, from the environment or the secret that it names (`app.secret`):

    {"default": "<token>", "website": ["<newest>", "<older>"]}

A name is a principal: it owns the streams that its tokens create, and its limits are counted
together. To rotate a token, put the new one first, change the clients, and remove the old one when
the streams it created have expired.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

_TOKEN = re.compile(r"[!-~]+")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")

# It signs the tokens of streams, from which it must not be guessed.
_SHORTEST = 32


@dataclass(frozen=True, slots=True)
class ApiTokens:
    """The tokens of every name, the newest first."""

    by_name: Mapping[str, tuple[str, ...]] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the JSON object; raises ValueError, which quotes no token."""
        try:
            members = json.loads(text)
        except ValueError:
            members = None
        if not isinstance(members, dict) or not members:
            raise ValueError('API_TOKENS must be a JSON object such as {"default": "<token>"}')
        by_name = {_name(name): _tokens(name, kept) for name, kept in members.items()}
        tokens = [token for kept in by_name.values() for token in kept]
        if len(set(tokens)) < len(tokens):
            raise ValueError("API_TOKENS has the same token twice: whose is it?")
        return cls(by_name)

    def name_of(self, token: str) -> str | None:
        """The name of a token's owner, None if it is unknown. Both take equally long."""
        given, found = _digest(token), None
        for name, tokens in self.by_name.items():
            for known in tokens:
                # Digests, whose lengths do not differ either.
                if hmac.compare_digest(_digest(known), given):
                    found = name
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("a name in API_TOKENS may have 1 to 32 of A-Z, a-z, 0-9, _ and -")
    return name


def _tokens(name: str, kept: object) -> tuple[str, ...]:
    given: list[Any] = kept if isinstance(kept, list) else [kept]
    tokens = [each for each in given if isinstance(each, str) and _TOKEN.fullmatch(each)]
    if not given or len(tokens) != len(given):
        raise ValueError(
            f"API_TOKENS must hold a token, or a list of tokens, for {name}, in printable ASCII "
            "without spaces"
        )
    if any(len(each) < _SHORTEST for each in tokens):
        raise ValueError(
            f"a token of {name} in API_TOKENS is too short: make one of at least {_SHORTEST} "
            "characters with `openssl rand -hex 32`"
        )
    return tuple(tokens)
