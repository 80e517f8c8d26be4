"""The most tokens that a request may cost.

A provider reports the cost of an attempt only at its regular end. A model may have thought for long
before an attempt broke off, and all of that is paid for. So an unreported cost counts as the most
that it may have been.
"""

from app.models.base import Partial, Request

# Roles and separators, which each provider adds differently.
_AROUND_A_MESSAGE = 16
# A server may add its own template, a date, or the words that ask to continue. This is only for
# judging its report: it is too much to reserve for every request.
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
    texts = len(request.messages) + len(request.after) + (request.system is not None)
    texts += len(request.tools) + 2 * len(request.rounds)
    return request.size_bytes + texts * _AROUND_A_MESSAGE


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
