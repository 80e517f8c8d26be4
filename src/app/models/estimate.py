"""The most tokens that a request may cost.

A provider reports the cost of an attempt only at its regular end. A model may have thought for long
before an attempt broke off, and all of that is paid for. So an unreported cost counts as the most
that it may have been.
"""

from app.models.base import Partial, Request

# Roles and separators, which every provider adds in its own way.
_AROUND_A_MESSAGE = 16
# A server may add its own template, a date, or the words that ask to continue. This is only for
# judging its report: it is too much to reserve for every request.
_AROUND_A_CONVERSATION = 2_000


def at_most(request: Request) -> int:
    """The tokens that one attempt at a request may cost: none is shorter than a byte."""
    return _asked(request) + request.max_tokens


def input_at_most(request: Request, said: Partial) -> int:
    """The most input tokens that may be true of an attempt; `said` is shown to it, or less."""
    return _asked(request) + _bytes(said.answer) + _AROUND_A_CONVERSATION


def output_at_most(request: Request, said: Partial) -> int:
    """The most output tokens that may be true of an attempt after which `said` was said.

    Not every server counts thinking against `max_tokens`.
    """
    return request.max_tokens + _bytes(said.thinking)


def _asked(request: Request) -> int:
    texts = len(request.messages) + (request.system is not None)
    return request.size_bytes + texts * _AROUND_A_MESSAGE


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
