"""What a request may cost at most, and what an answer did cost, in tokens.

Providers tell what an attempt has cost at its end only, and only of that attempt. What they do
not tell is estimated from the text, at three bytes a token: for most languages that is too much
rather than too little.
"""

from dataclasses import dataclass

from app.providers.base import Request

_BYTES_A_TOKEN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What is known of an answer that has ended.

    `attempts` were made; those before the last wrote `earlier` bytes of text, and the last one
    `latest`, or said itself that it cost `reported` tokens.
    """

    attempts: int
    earlier: int
    latest: int
    reported: int | None = None


def at_most(request: Request) -> int:
    """The tokens that one attempt at a request may cost."""
    return _asking(request) + request.max_tokens


def spent(request: Request, spending: Spending) -> int:
    """The tokens that an answer cost."""
    unreported = spending.attempts * _asking(request) + _tokens(spending.earlier + spending.latest)
    if spending.reported is None:
        return unreported
    before = (spending.attempts - 1) * _asking(request) + _tokens(spending.earlier)
    return before + spending.reported


def _asking(request: Request) -> int:
    texts = [request.system or "", *(message.content for message in request.messages)]
    return _tokens(sum(len(text.encode("utf-8", "surrogatepass")) for text in texts))


def _tokens(size: int) -> int:
    return -(-size // _BYTES_A_TOKEN)
