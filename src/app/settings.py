"""What can be set from outside, read once from the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

# As browsers send it: the host in lower case, and no port that goes without saying.
_ORIGIN = re.compile(r"(https?)://(?:[a-z0-9._-]+|\[[0-9a-f:]+\])(?::[0-9]+)?")
_UNSAID = {"https": ":443", "http": ":80"}

# JSON may write a byte of text as six, `\u0001`; what comes beside the text needs some room.
_LONGEST_ESCAPE = 6
_ROOM_BESIDE_TEXT = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be used up, None for any amount.

    `total_tokens_per_day` is for all principals together, `stream_connects_per_minute` for one
    stream, all others for one principal.
    """

    requests_per_minute: int | None = None
    connects_per_minute: int | None = None
    stream_connects_per_minute: int | None = None
    tokens_per_day: int | None = None
    total_tokens_per_day: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The application's settings. Times are in seconds unless their name says otherwise."""

    table_name: str
    provider: str = "demo"
    connections: int = 16

    max_prompt_bytes: int = 100_000
    # The longest answer that may be asked for, and the one that is where nothing is said.
    max_tokens: int = 16_000
    default_max_tokens: int = 4_000
    stream_ttl: int = 24 * 3600

    # The writer: it appends at once, then at most every `flush_interval`, and at least every
    # `heartbeat`. Without a sign of life for `lease`, a reader takes over. Whatever the clocks say,
    # that reader has listened for `listening`: longer than a writer that lives is silent, and than
    # it may take to be back behind a log that was (a call hangs for 1.5 s, and boto3 tries again
    # within another). `claim_jitter`, at most, lies between those who come to the same moment.
    flush_interval: float = 0.04
    heartbeat: float = 1.0
    lease: float = 4.0
    listening: float = 2.5
    claim_jitter: float = 0.2
    # So many writers in a row may end without a word; then the stream is given up.
    fruitless_attempts: int = 5
    # How long a failing log is borne before a reader's response, or a creation, gives up.
    log_patience: float = 15.0
    create_patience: float = 5.0
    # A writer that no other has superseded bears it until its invocation's deadline. Where there is
    # none, it does so for as long as an invocation may last on Lambda.
    writer_patience: float = 900.0
    # How long a provider is asked for a first token, and how many of a writer's requests that may
    # have reached the model may fail. The time is longer than a provider may be silent
    # (PROVIDER_FIRST_SECONDS), so that is tried twice.
    provider_patience: float = 150.0
    provider_attempts: int = 3
    # How long before the invocation's deadline the writer hands over, and what must be left on
    # top of that for taking over to be worth it.
    handoff_margin: float = 1.5
    claim_margin: float = 1.0

    # Readers ask the log this often while text arrives, and slow down to the second.
    poll_interval: float = 0.05
    poll_interval_idle: float = 0.5
    keep_alive: float = 2.0
    # A reader that is not the writer's own is sent away after so long, and comes back if it is
    # still there: one that has left holds its invocation no longer.
    reader_life: float = 60.0

    # How soon an EventSource comes back, when all is well and when the log is not.
    retry_ms: int = 500
    retry_trouble_ms: int = 2000
    # Some ways to a browser hold small pieces back; what is sent at once is at least this long.
    event_padding_bytes: int = 0
    # Where nobody sees bytes before the response ends, it ends after this window.
    buffered_window: float = 1.0
    buffered_retry_ms: int = 100

    limits: Limits = field(default_factory=Limits)
    # The pages of other origins that may use this API.
    allowed_origins: tuple[str, ...] = ()

    @property
    def max_body_bytes(self) -> int:
        """The largest body of a request: it has room for the largest prompt in any form."""
        return _LONGEST_ESCAPE * self.max_prompt_bytes + _ROOM_BESIDE_TEXT

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings; raises ValueError with what to set."""
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
            event_padding_bytes=_number(environ, "EVENT_PADDING_BYTES") or 0,
            limits=Limits(
                requests_per_minute=_number(environ, "REQUESTS_PER_MINUTE"),
                connects_per_minute=_number(environ, "CONNECTS_PER_MINUTE"),
                stream_connects_per_minute=_number(environ, "STREAM_CONNECTS_PER_MINUTE"),
                tokens_per_day=_number(environ, "TOKENS_PER_DAY"),
                total_tokens_per_day=_number(environ, "TOTAL_TOKENS_PER_DAY"),
            ),
            allowed_origins=_origins(environ.get("ALLOWED_ORIGINS", "")),
        )


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "").strip()
    if not text:
        return None
    if not text.isdecimal():
        raise ValueError(f"{name} must be a whole number, or empty")
    return int(text)


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
