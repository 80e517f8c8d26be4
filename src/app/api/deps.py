"""Dependencies: the objects and values that routes are handed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Path, Request
from fastapi.security import APIKeyQuery, HTTPAuthorizationCredentials, HTTPBearer
from pydantic import JsonValue

from app.api import sse
from app.api.inputs import Inputs
from app.api.responses import window
from app.exceptions import RequestRefused
from app.gate import Credentials, Gate
from app.models.base import Provider
from app.pointers import Pointers
from app.settings import Settings
from durable_stream import Clock, StreamNotFound, Streams, Window

Endpoint = TypeVar("Endpoint", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Context:
    """The process's objects, and how this request may be answered.

    `root` is the path under which the outside finds this application.
    """

    streams: Streams
    inputs: Inputs
    model: Provider
    settings: Settings
    gate: Gate
    clock: Clock
    pointers: Pointers
    window: Window
    root: str

    async def admit(self, credentials: Credentials, stream_id: str) -> str:
        """The owner of a stream that the credentials open; raises as `Gate.admit`."""
        return await self.gate.admit(credentials, stream_id, self._owner_of)

    async def _owner_of(self, stream_id: str) -> str:
        return (await self.streams.start(stream_id)).owner


_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="API token",
    description="Creates streams, and opens those that it has created.",
)
_token = APIKeyQuery(
    name="token",
    auto_error=False,
    scheme_name="Stream token",
    description="Opens the stream that it was made for, and no other.",
)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def context(request: Request) -> Context:
    """The context of a request."""
    state = request.state
    return Context(
        streams=state.streams,
        inputs=state.inputs,
        model=state.model,
        settings=state.settings,
        gate=state.gate,
        clock=state.clock,
        pointers=state.pointers,
        window=window(request.scope),
        root=request.scope.get("root_path", ""),
    )


ContextDep = Annotated[Context, Depends(context)]


async def credentials(bearer: Bearer, token: Annotated[str | None, Depends(_token)]) -> Credentials:
    """The credentials in a request."""
    return Credentials(bearer.credentials if bearer else None, token)


async def creator(context: ContextDep, bearer: Bearer) -> str:
    """The name of a caller that may create streams; raises Unauthorized."""
    return await context.gate.creator(Credentials(bearer.credentials if bearer else None))


CredentialsDep = Annotated[Credentials, Depends(credentials)]
CreatorDep = Annotated[str, Depends(creator)]


async def admit_creator(request: Request) -> None:
    """Raise Unauthorized unless the caller may create streams."""
    await creator(await context(request), await _bearer(request))


def public(endpoint: Endpoint) -> Endpoint:
    """Mark a route that is open to strangers, or that checks its callers itself."""
    endpoint.is_public = True  # type: ignore[attr-defined]
    return endpoint


def is_public(endpoint: object) -> bool:
    """True for a route that is marked as public."""
    return getattr(endpoint, "is_public", False)


async def closed_unless_public(request: Request) -> None:
    """Let only creators at a route that is not marked as public; raises Unauthorized."""
    if not is_public(request.scope["endpoint"]):
        await admit_creator(request)


async def from_no_other_site(request: Request, context: ContextDep) -> None:
    """Refuse a page of another site where creating needs no token.

    A page can have any address fetched, as an image say, and where all may create streams this
    one costs money. A client that is no browser, or an old one, does not say where it comes from.
    """
    headers, allowed = request.headers, context.settings.allowed_origins
    if (
        context.gate.mode == "open"
        and headers.get("sec-fetch-site") == "cross-site"
        and headers.get("origin") not in allowed
    ):
        raise RequestRefused(
            403,
            "cross_site",
            "A page of another site may create no stream here: name its origin in "
            "ALLOWED_ORIGINS, and use an EventSource or fetch(), which tell it.",
        )


async def _stream_id(
    stream_id: Annotated[
        str,
        Path(description="A stream's id.", json_schema_extra={"pattern": f"^{sse.STREAM_ID}$"}),
    ],
) -> str:
    if not sse.is_stream_id(stream_id):
        raise StreamNotFound
    return stream_id


StreamId = Annotated[str, Depends(_stream_id)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[A-Za-z0-9._:-]{16,128}$",
        description=(
            "Makes creating repeatable: the same key gives the same stream. Use a random UUID. "
            "Where access is open, the key gives the stream's address away: keep it secret."
        ),
    ),
]
# Described, not enforced here: a wrong cursor is answered 400, with a message of its own. An empty
# one is none.
CURSOR: dict[str, JsonValue] = {"pattern": f"{sse.EVENT_ID}|^$"}
LastEventId = Annotated[
    str | None,
    Header(description="The id of the last event received.", json_schema_extra=CURSOR),
]
