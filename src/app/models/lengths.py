"""How long an answer is, in tokens, where only its text is known.

Every model has a tokenizer of its own, and most cannot be had. So text is estimated, and rather
too long than too short: nobody is to get a longer answer than was asked for. Held against two real
tokenizers (OpenAI's cl100k_base and that of Claude 2), prose and code come out half as long again
to nearly twice as long, other alphabets up to twice, and nothing that was tried too short.
"""

import math
import re

from app.models.base import Partial, Request

# Each run of characters that a pattern matches has so many tokens a character, and at least one.
_RUNS = (
    (r"[A-Z]?[a-z]+", 0.46),
    (r"[A-Z]+", 0.6),
    (r"(?P<sign>[^\w\s])(?P=sign){3,}", 0.25),
    (r"\s{2,}|[^\S ]", 0.125),
    (r"[\u0400-\u052f]+", 0.6),  # Cyrillic
    (r"[\u3000-\u9fff\uff00-\uffef]", 1.25),  # Chinese, Japanese
    (r"[\uac00-\ud7af]", 1.7),  # Korean
    (r"[\x00-\x1f!-\x7f]", 1.0),
    (r"[\u0080-\u07ff]", 1.35),
    (r"[\u0800-\uffff]", 2.0),
    (r"[\U00010000-\U0010ffff]", 3.4),
)
_RUN = re.compile("|".join(f"(?P<run{index}>{run})" for index, (run, _) in enumerate(_RUNS)))

# The third consonant in a row and every one behind it: in words they are rare, in keys and hashes
# they are not, and no tokenizer knows those.
_HEAPED = re.compile(r"(?<=[bcdfghjklmnpqrstvwxz]{2})[bcdfghjklmnpqrstvwxz]", re.IGNORECASE)


def estimated(text: str) -> int:
    """The tokens that a text has at most, by estimate."""
    tokens = 0.0
    for match in _RUN.finditer(text):
        name = match.lastgroup
        assert name is not None
        tokens += max(1.0, len(match[0]) * _RUNS[int(name.removeprefix("run"))][1])
    return math.ceil(tokens + sum(1 for _ in _HEAPED.finditer(text)))


def left(request: Request, said: Partial) -> int:
    """How many tokens an answer may still have; 0 or less if none."""
    return request.max_tokens - taken(said)


def taken(said: Partial) -> int:
    """The tokens of what was said, as they were told or else by estimate."""
    return estimated(said.thinking) + estimated(said.answer) if said.tokens is None else said.tokens
