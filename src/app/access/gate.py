"""The gate: every request passes it before the log or a model is asked anything."""

import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from app import secret
from app.access import stream_tokens
from app.access.api_tokens import ApiTokens
from app.exceptions import (
    AccessError,
    SecretError,
    SecretRefused,
    StreamNotFound,
    Unauthorized,
)
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
    """The gate for `API_TOKENS` or `API_TOKENS_FROM`, open without; raises ValueError.

    One that is set but empty is a mistake, and must not open the gate; only SAM CLI sets variables
    that a condition of the template leaves out, to nothing.
    """
    found = secret.from_environ(environ, "API_TOKENS")
    if found is None:
        for name in ("API_TOKENS", "API_TOKENS_FROM"):
            if name in environ and "AWS_SAM_LOCAL" not in environ:
                raise ValueError(f"{name} is empty: leave it out to let everybody in")
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

    async def admit(self, shown: Credentials, stream_id: str, owner_of: OwnerOf) -> str:
        """The stream's owner, if the credentials open it for reading and cancelling.

        They are its token, or an API token of its owner; where all are let in, the name is "".

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

    async def admit(self, shown: Credentials, stream_id: str, owner_of: OwnerOf) -> str:
        """Let everybody in."""
        del shown, stream_id, owner_of
        return ""

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
        if shown.bearer is None:
            raise Unauthorized
        name = (await self._tokens()).name_of(shown.bearer)
        if name is None:
            # It may be newer than what we know.
            name = (await self._tokens(fresh=True)).name_of(shown.bearer)
        if name is None:
            raise Unauthorized
        return name

    async def admit(self, shown: Credentials, stream_id: str, owner_of: OwnerOf) -> str:
        """Whichever of the two opens the stream; the refusal is the API token's if there is one."""
        if shown.token is not None:
            try:
                return await self._check(shown.token, stream_id)
            except (AccessError, StreamNotFound):
                if shown.bearer is None:
                    raise
        name = await self.creator(shown)
        if name != await owner_of(stream_id):
            raise StreamNotFound
        return name

    async def _check(self, token: str, stream_id: str) -> str:
        try:
            return stream_tokens.check(await self._tokens(), stream_id, token, time.time())
        except StreamNotFound:
            # It may be signed with a key that is newer than what we know.
            tokens = await self._tokens(fresh=True)
            return stream_tokens.check(tokens, stream_id, token, time.time())

    async def token(self, stream_id: str, owner: str, expires_at: int) -> str | None:
        """A token that is good as long as the stream is."""
        tokens = await self._tokens()
        if owner not in tokens.by_name:
            raise StreamNotFound
        return stream_tokens.sign(tokens, stream_id, owner, expires_at)

    async def _tokens(self, *, fresh: bool = False) -> ApiTokens:
        text = await (self._secret.fresh_text() if fresh else self._secret.text())
        if self._parsed is None or self._parsed[0] != text:
            try:
                self._parsed = text, ApiTokens.parse(text)
            except ValueError as error:
                logger.error("the API tokens make no sense", extra={"problem": str(error)})
                raise SecretRefused("API_TOKENS") from None
        return self._parsed[1]
