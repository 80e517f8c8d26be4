"""What the environment may say, and what is told of a mistake."""

import pytest

from app.limits.settings import Limits
from app.settings import Settings

TABLE = {"TABLE_NAME": "streams"}


def test_without_a_table_it_is_told_what_to_set() -> None:
    with pytest.raises(ValueError, match="TABLE_NAME"):
        Settings.from_environ({})


def test_nothing_is_limited_that_has_no_limit() -> None:
    empty = {"REQUESTS_PER_MINUTE": "", "TOKENS_PER_DAY": " ", "ALLOWED_ORIGINS": ""}
    settings = Settings.from_environ(TABLE | empty)

    assert Limits.from_environ(empty) == Limits()
    assert settings.allowed_origins == ()
    assert settings.event_source.padding_bytes == 0


def test_limits_are_whole_numbers() -> None:
    names = {"REQUESTS_PER_MINUTE": "0", "TOKENS_PER_DAY": "5", "TOTAL_TOKENS_PER_DAY": "50"}
    names |= {"CONNECTS_PER_MINUTE": "600", "STREAM_CONNECTS_PER_MINUTE": "60"}

    assert Limits.from_environ(names) == Limits(
        requests_per_minute=0,
        connects_per_minute=600,
        stream_connects_per_minute=60,
        tokens_per_day=5,
        total_tokens_per_day=50,
    )


@pytest.mark.parametrize(
    "name",
    ["REQUESTS_PER_MINUTE", "STREAM_CONNECTS_PER_MINUTE", "TOKENS_PER_DAY", "EVENT_PADDING_BYTES"],
)
@pytest.mark.parametrize("text", ["-1", "1.5", "1e3", "many"])
def test_anything_else_is_a_mistake(name: str, text: str) -> None:
    read = Settings.from_environ if name == "EVENT_PADDING_BYTES" else Limits.from_environ
    with pytest.raises(ValueError, match=name):
        read({**TABLE, name: text})


def test_origins_are_taken_as_browsers_send_them() -> None:
    text = "https://app.example.com:443, http://localhost:3000,https://[::1]:8443"

    assert Settings.from_environ(TABLE | {"ALLOWED_ORIGINS": text}).allowed_origins == (
        "https://app.example.com",
        "http://localhost:3000",
        "https://[::1]:8443",
    )


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "app.example.com",
        "https://app.example.com/",
        "https://app.example.com/page",
        "https://App.example.com",
        "https://*.example.com",
    ],
)
def test_what_no_browser_sends_is_a_mistake(origin: str) -> None:
    with pytest.raises(ValueError, match="ALLOWED_ORIGINS"):
        Settings.from_environ(TABLE | {"ALLOWED_ORIGINS": origin})
