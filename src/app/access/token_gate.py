"""A gate that asks for tokens."""

import asyncio
import contextlib
import time

from app.access import stream_tokens
from app.access.api_tokens import ApiTokens
from app.exceptions import SecretError, SecretRefused, TokenExpired, Unauthorized
from app.gate import Credentials, Mode, OwnerOf
from app.log import logger
from app.secret import Secret
from durable_stream import StreamNotFound

# Lambda ends a start that takes ten seconds, and a store that hangs would hold it up for eight.
_PRELOAD_SECONDS = 4


class TokenGate:
    """API tokens open the streams of their name; stream tokens open one stream."""

    mode: Mode = "tokens"

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self._parsed: tuple[str, ApiTokens] | None = None

    async def preload(self) -> None:
        """Read the tokens while a sandbox starts, before a request waits for them.

        A read that takes long goes on, and the first request waits for it.
        """
        with contextlib.suppress(SecretError, TimeoutError):
            async with asyncio.timeout(_PRELOAD_SECONDS):
                await self._tokens()

    async def creator(self, credentials: Credentials) -> str:
        """The name that the API token belongs to."""
        if credentials.bearer is None:
            raise Unauthorized
        name = (await self._tokens()).name_of(credentials.bearer)
        if name is None:
            # It may be newer than the tokens that were read.
            name = (await self._tokens(fresh=True)).name_of(credentials.bearer)
        if name is None:
            raise Unauthorized
        return name

    async def admit(self, credentials: Credentials, stream_id: str, owner_of: OwnerOf) -> str:
        """Try the stream's token, then the API token; the last one tried decides the refusal."""
        if credentials.token is not None:
            try:
                return await self._check(credentials.token, stream_id)
            except (Unauthorized, TokenExpired, StreamNotFound):
                if credentials.bearer is None:
                    raise
        name = await self.creator(credentials)
        if name != await owner_of(stream_id):
            raise StreamNotFound
        return name

    async def _check(self, token: str, stream_id: str) -> str:
        try:
            return stream_tokens.check(await self._tokens(), stream_id, token, time.time())
        except StreamNotFound:
            # It may be signed with a key that is newer than the tokens that were read.
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
