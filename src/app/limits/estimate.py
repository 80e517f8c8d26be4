"""What a request may cost at most, in tokens.

A provider tells what an attempt has cost only at its end. Of one that ended otherwise nobody
knows: a model may have thought for long before its first word, and all of that is paid for. So
what is not told counts as the most that it may have been.
"""

from app.providers.base import Request

# Roles and separators, which every provider adds in its own way.
_AROUND_A_MESSAGE = 16


def at_most(request: Request) -> int:
    """The tokens that one attempt at a request may cost: none is shorter than a byte."""
    texts = [message.content for message in request.messages]
    if request.system is not None:
        texts.append(request.system)
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return size + len(texts) * _AROUND_A_MESSAGE + request.max_tokens
