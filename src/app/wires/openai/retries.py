"""Retries: a create that an SDK sends again, after its answer was lost, is the same stream.

The SDKs send no idempotency key, and number their tries in a header. So the first try leaves a key
behind, under a digest of the request, where the next ones find it.
"""

import hashlib
import secrets

from fastapi import Request

from app.pointers import Pointers

_TRY = "x-stainless-retry-count"

# A try may wait for its answer, and its connection may break, as long as an invocation lasts.
_SECONDS = 900


async def key_of(request: Request, owner: str, given: str | None, pointers: Pointers) -> str | None:
    """The idempotency key: the given one, else one for all tries; None for clients without them.

    Raises StoreUnavailable or StoreRefused.
    """
    count = request.headers.get(_TRY)
    if given or count is None:
        return given
    path: str = request.scope["path"]
    digest = hashlib.sha256(path.encode() + b"\n" + await request.body()).hexdigest()
    name = f"openai:{digest}"
    if count != "0" and (kept := await pointers.get(owner, name)):
        return kept
    key = secrets.token_urlsafe(24)
    await pointers.put(owner, name, key, seconds=_SECONDS)
    return key
