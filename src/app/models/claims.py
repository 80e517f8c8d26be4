"""What a claim says of how an answer goes on."""

from typing import Literal

from app.models.base import Continuation, Partial, Provider, Request

Continued = Continuation | Literal["restarted"]


def continued(provider: Provider, request: Request, said: Partial) -> Continued:
    """How the next attempt goes on from what was said; from nothing, it starts again."""
    return provider.continuation(request) if said.answer else "restarted"
