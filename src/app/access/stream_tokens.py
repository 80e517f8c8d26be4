"""Stream tokens: each opens one stream for reading and cancelling.

An EventSource cannot send a header, so the token goes into the address of the events. It is
`<owner>.<Unix time of expiry>.<signature>`; the signature is an HMAC over these two and the
stream's id, by an API token of the owner. So checking it needs no look-up, it opens no other
stream, and revoking the API token revokes it.
"""

import base64
import hashlib
import hmac
import re

from app.access.api_tokens import ApiTokens
from app.exceptions import TokenExpired, Unauthorized
from durable_stream import StreamNotFound

_TOKEN = re.compile(r"([A-Za-z0-9_-]{1,32})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})")


def sign(tokens: ApiTokens, stream_id: str, owner: str, expires_at: int) -> str:
    """The token of a stream; raises KeyError if its owner has no API token any more."""
    signature = _signature(tokens.by_name[owner][0], stream_id, owner, expires_at)
    return f"{owner}.{expires_at}.{signature}"


def check(tokens: ApiTokens, stream_id: str, token: str, now: float) -> str:
    """The owner of this stream, if the token opens it.

    Raises Unauthorized if it is no token, TokenExpired if it was one, and StreamNotFound if it is
    not this stream's, which cannot be told from a forged one.
    """
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise Unauthorized
    owner, expires_at, given = match[1], int(match[2]), match[3]
    keys = tokens.by_name.get(owner, ())
    signatures = (_signature(key, stream_id, owner, expires_at) for key in keys)
    if not any(hmac.compare_digest(each, given) for each in signatures):
        raise StreamNotFound
    if expires_at <= now:
        raise TokenExpired
    return owner


def _signature(key: str, stream_id: str, owner: str, expires_at: int) -> str:
    signed = f"stream-token:{stream_id}:{owner}:{expires_at}"
    digest = hmac.digest(key.encode(), signed.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
