"""The gate: every request passes it before anything else happens."""

import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from app import secret
from app.access import stream_tokens
from app.access.api_tokens import ApiTokens
from app.exceptions import SecretError, SecretRefused, StreamNotFound, Unauthorized
from app.log import logger
from app.secret import GivenSecret, Secret

Mode = Literal["open", "tokens"]
OwnerOf = Callable[[str], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What somebody shows: an API token, the token of a stream, both or neither."""

    bearer: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


def from_environ(environ: Mapping[str, str]) -> "Gate":
    """The gate for `API_TOKENS` or `API_TOKENS_FROM`, open without; raises ValueError."""
    found = secret.from_environ(environ, "API_TOKENS")
    if found is None:
        return OpenGate()
    if isinstance(found, GivenSecret):
        ApiTokens.parse(found.given)
    return TokenGate(found)


class Gate(Protocol):
    """Who may do what. Every method may also raise SecretUnavailable or SecretRefused."""

    @property
    def mode(self) -> Mode: ...

    async def open_up(self) -> None:
        """Get ready before the first request, as far as that is possible; raises nothing."""
        ...

    async def creator(self, shown: Credentials) -> str:
        """The name of somebody who may create streams; raises Unauthorized."""
        ...

    async def admit(self, shown: Credentials, stream_id: str, owner_of: OwnerOf) -> None:
        """Let somebody read this stream and cancel it, who has its token or is its owner.

        Raises Unauthorized, TokenExpired, or StreamNotFound: whether a stream that is not theirs
        exists is nobody's business.
        """
        ...

    async def token(self, stream_id: str, owner: str, expires_at: int) -> str | None:
        """The token that opens this stream; None where none is needed."""
        ...


class OpenGate:
    """Whoever knows the address may create streams; whoever knows an id may read it."""

    mode: Mode = "open"

    async def open_up(self) -> None:
        """Tell the operator: this may not be meant."""
        logger.warning("open to everybody: set API_TOKENS or API_TOKENS_FROM to change that")

    async def creator(self, shown: Credentials) -> str:
        """Nobody in particular."""
        del shown
        return ""

    async def admit(self, shown: Credentials, stream_id: str, owner_of: OwnerOf) -> None:
        """Let everybody in."""

    async def token(self, stream_id: str, owner: str, expires_at: int) -> str | None:
        """None: none is needed."""
        del stream_id, owner, expires_at
        return None


class TokenGate:
    """API tokens open everything of their own; stream tokens open a stream."""

    mode: Mode = "tokens"

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self._parsed: tuple[str, ApiTokens] | None = None

    async def open_up(self) -> None:
        """Read the tokens while a sandbox starts, when nobody waits for them."""
        with contextlib.suppress(SecretError):
            await self._tokens()

    async def creator(self, shown: Credentials) -> str:
        """The name that the API token belongs to."""
        name = (await self._tokens()).name_of(shown.bearer or "")
        if name is None:
            raise Unauthorized
        return name

    async def admit(self, shown: Credentials, stream_id: str, owner_of: OwnerOf) -> None:
        """The API token decides if there is one, else the stream's token."""
        if shown.bearer is not None:
            if await self.creator(shown) != await owner_of(stream_id):
                raise StreamNotFound
            return
        tokens = await self._tokens()
        stream_tokens.check(tokens, stream_id, shown.token or "", time.time())

    async def token(self, stream_id: str, owner: str, expires_at: int) -> str | None:
        """A token that is good as long as the stream is."""
        tokens = await self._tokens()
        if owner not in tokens.by_name:
            raise StreamNotFound
        return stream_tokens.sign(tokens, stream_id, owner, expires_at)

    async def _tokens(self) -> ApiTokens:
        text = await self._secret.text()
        if self._parsed is None or self._parsed[0] != text:
            try:
                self._parsed = text, ApiTokens.parse(text)
            except ValueError as error:
                logger.error("the API tokens make no sense", extra={"problem": str(error)})
                raise SecretRefused("API_TOKENS") from None
        return self._parsed[1]
