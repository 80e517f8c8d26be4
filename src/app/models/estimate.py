"""The most that a request may cost, in tokens.

A provider reports the cost of an attempt only at its end. The cost of an interrupted attempt is
unknown: a model may have thought for a long time before its first word, and that is charged too. So
an unknown cost counts as the most that it may have been.
"""

from app.models.base import Partial, Request

# Roles and separators, which each provider adds differently.
_AROUND_A_MESSAGE = 16
# A server may add its template, a date, and the words that ask for a continuation. This is only for
# checking reported counts: it is too much to reserve for every request.
_AROUND_A_CONVERSATION = 2_000


def at_most(request: Request) -> int:
    """The most tokens that one attempt may cost; no token is shorter than a byte."""
    return _input(request) + request.max_tokens


def input_at_most(request: Request, delivered: Partial) -> int:
    """The most input tokens of an attempt that is sent the delivered text, or part of it."""
    return _input(request) + _bytes(delivered.answer) + _AROUND_A_CONVERSATION


def output_at_most(request: Request, delivered: Partial) -> int:
    """The most output tokens of an attempt after which `delivered` is the whole text.

    Not every server counts thinking against `max_tokens`.
    """
    return request.max_tokens + _bytes(delivered.thinking)


def _input(request: Request) -> int:
    texts = len(request.messages) + (request.system is not None)
    return request.size_bytes + texts * _AROUND_A_MESSAGE


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
