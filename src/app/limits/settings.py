"""The limits, read from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from app.settings import number


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that may be used up, None for any amount.

    `total_tokens_per_day` is for all principals together, `stream_connects_per_minute` for one
    stream, all others for one principal.
    """

    requests_per_minute: int | None = None
    connects_per_minute: int | None = None
    stream_connects_per_minute: int | None = None
    tokens_per_day: int | None = None
    total_tokens_per_day: int | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the limits; raises ValueError with the setting to fix."""
        return cls(
            requests_per_minute=number(environ, "REQUESTS_PER_MINUTE"),
            connects_per_minute=number(environ, "CONNECTS_PER_MINUTE"),
            stream_connects_per_minute=number(environ, "STREAM_CONNECTS_PER_MINUTE"),
            tokens_per_day=number(environ, "TOKENS_PER_DAY"),
            total_tokens_per_day=number(environ, "TOTAL_TOKENS_PER_DAY"),
        )
