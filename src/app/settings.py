"""The settings, read once from the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from durable_stream import Failed, RetryPolicy, Timing

# The product's name: on the page, in OpenAPI, and as the service in logs and metrics unless
# POWERTOOLS_SERVICE_NAME names another.
APP_NAME = "Lambda LLM stream"

# As browsers send it: the host in lower case, and no port that goes without saying.
_ORIGIN = re.compile(r"(https?)://(?:[a-z0-9._-]+|\[[0-9a-f:]+\])(?::[0-9]+)?")
_UNSAID = {"https": ":443", "http": ":80"}

# JSON may write a byte of text as six, `\u0001`; members beside the text need some room.
_LONGEST_ESCAPE = 6
_ROOM_BESIDE_TEXT = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptLimits:
    """The limits of a request. `default_max_tokens` holds where a request names none."""

    max_prompt_bytes: int = 100_000
    max_tokens: int = 16_000
    default_max_tokens: int = 4_000

    @property
    def max_body_bytes(self) -> int:
        """The largest body of a request: it has room for the largest prompt in any form."""
        return _LONGEST_ESCAPE * self.max_prompt_bytes + _ROOM_BESIDE_TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSourceSettings:
    """The settings for sending event streams."""

    # How soon an EventSource comes back: normally, from a response in one piece, to a stream that
    # waits for its next writer, and in trouble.
    retry_ms: int = 300
    buffered_retry_ms: int = 100
    handoff_retry_ms: int = 100
    retry_trouble_ms: int = 2000
    # Some paths to a browser hold small chunks back; smaller chunks are filled up to this size.
    padding_bytes: int = 0


_DAY = 24 * 3600

# Longer than a provider may be silent (PROVIDER_FIRST_SECONDS), so a silent one is tried twice.
_PROVIDER_PATIENCE = 150.0


def _answers() -> RetryPolicy:
    """How often a model is asked for one answer, and the words for answers that never come."""
    return RetryPolicy(
        patience=_PROVIDER_PATIENCE,
        given_up=Failed(
            "given_up",
            "Several attempts at this answer ended without a word. Ask differently, or try again "
            "later.",
            retryable=True,
        ),
        broken=Failed(
            "provider_broken",
            "The model's answer failed for a reason that the operator finds in the log.",
            retryable=True,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The application's settings, in groups by their owner."""

    table_name: str
    provider: str = "demo"
    # How many calls to the table may be under way at once.
    connections: int = 16
    timing: Timing = field(default_factory=Timing)
    retry: RetryPolicy = field(default_factory=_answers)
    prompts: PromptLimits = field(default_factory=PromptLimits)
    event_source: EventSourceSettings = field(default_factory=EventSourceSettings)
    # The pages of other origins that may use this API.
    allowed_origins: tuple[str, ...] = ()

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings; raises ValueError with the setting to fix."""
        table_name = environ.get("TABLE_NAME")
        if not table_name:
            raise ValueError(
                "TABLE_NAME is not set: name the DynamoDB table that holds the streams "
                "(template.yaml sets it on Lambda, `make run` on this machine)"
            )
        concurrency = int(environ.get("AWS_LAMBDA_MAX_CONCURRENCY") or 1)
        return cls(
            table_name=table_name,
            provider=environ.get("PROVIDER") or "demo",
            connections=max(16, min(concurrency, 64)),
            timing=Timing(stream_ttl=_days(environ, "STREAM_DAYS", 1) * _DAY),
            event_source=EventSourceSettings(
                padding_bytes=number(environ, "EVENT_PADDING_BYTES") or 0
            ),
            allowed_origins=_origins(environ.get("ALLOWED_ORIGINS", "")),
        )


def number(environ: Mapping[str, str], name: str) -> int | None:
    """A whole number from the environment, None if it is not set; raises ValueError."""
    text = environ.get(name, "").strip()
    if not text:
        return None
    if not text.isdecimal():
        raise ValueError(f"{name} must be a whole number, or empty")
    return int(text)


def _days(environ: Mapping[str, str], name: str, default: int) -> int:
    days = number(environ, name)
    if days == 0:
        raise ValueError(f"{name} must be at least 1, or empty for {default}")
    return days or default


def _origins(text: str) -> tuple[str, ...]:
    return tuple(_origin(each.strip()) for each in text.split(",") if each.strip())


def _origin(text: str) -> str:
    match = _ORIGIN.fullmatch(text)
    if match is None:
        raise ValueError(
            "ALLOWED_ORIGINS must be origins as browsers send them, comma separated, such as "
            "https://app.example.com: lower case, no path, no slash at the end, no wildcard"
        )
    return text.removesuffix(_UNSAID[match[1]])
