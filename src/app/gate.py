"""The gate: every request passes it before the store or a model is asked anything."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from app.log import logger

Mode = Literal["open", "tokens"]
OwnerOf = Callable[[str], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials in a request: an API token, the token of a stream, both or neither."""

    bearer: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


class Gate(Protocol):
    """Decides on callers' access. Every method may raise SecretUnavailable or SecretRefused."""

    @property
    def mode(self) -> Mode: ...

    async def preload(self) -> None:
        """Get ready before the first request, as far as that is possible; raises nothing."""
        ...

    async def creator(self, credentials: Credentials) -> str:
        """The name of a caller that may create streams; raises Unauthorized."""
        ...

    async def admit(self, credentials: Credentials, stream_id: str, owner_of: OwnerOf) -> str:
        """The stream's owner, if the credentials open it for reading and cancelling.

        They are its token, or an API token of its owner; where all are let in, the name is "".
        Raises Unauthorized, TokenExpired, or StreamNotFound: a caller does not learn that a stream
        of another owner exists.
        """
        ...

    async def token(self, stream_id: str, owner: str, expires_at: int) -> str | None:
        """The token that opens this stream; None where none is needed."""
        ...


class OpenGate:
    """Lets all callers create streams, and read a stream if they know its id."""

    mode: Mode = "open"

    async def preload(self) -> None:
        """Warn the operator, who may not intend this."""
        logger.warning("open to everybody: set API_TOKENS or API_TOKENS_FROM to change that")

    async def creator(self, _credentials: Credentials) -> str:
        """The one name that all callers share."""
        return ""

    async def admit(self, _credentials: Credentials, _stream_id: str, _owner_of: OwnerOf) -> str:
        """The one name that all callers share."""
        return ""

    async def token(self, _stream_id: str, _owner: str, _expires_at: int) -> str | None:
        """None: no token is needed."""
        return None
