"""The settings in the environment, and the messages for wrong ones."""

import pytest

from app.settings import Settings

TABLE = {"TABLE_NAME": "streams"}


def test_without_a_table_it_is_told_what_to_set() -> None:
    with pytest.raises(ValueError, match="TABLE_NAME"):
        Settings.from_environ({})


def test_empty_variables_are_as_good_as_none() -> None:
    settings = Settings.from_environ(TABLE | {"ALLOWED_ORIGINS": "", "EVENT_PADDING_BYTES": " "})

    assert settings.allowed_origins == ()
    assert settings.event_source.padding_bytes == 0


def test_streams_are_kept_for_a_day_or_as_many_as_are_set() -> None:
    day = 24 * 3600

    assert Settings.from_environ(TABLE).timing.stream_ttl == day
    assert Settings.from_environ(TABLE | {"STREAM_DAYS": "30"}).timing.stream_ttl == 30 * day
    with pytest.raises(ValueError, match="STREAM_DAYS must be at least 1"):
        Settings.from_environ(TABLE | {"STREAM_DAYS": "0"})


@pytest.mark.parametrize("text", ["-1", "1.5", "1e3", "many"])
def test_a_padding_that_is_no_number_is_a_mistake(text: str) -> None:
    with pytest.raises(ValueError, match="EVENT_PADDING_BYTES"):
        Settings.from_environ({**TABLE, "EVENT_PADDING_BYTES": text})


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
