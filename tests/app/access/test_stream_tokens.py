"""Stream tokens: each opens one stream, for as long as it says, while its signer's token lives."""

import pytest

from app.access.api_tokens import ApiTokens
from app.access.stream_tokens import check, sign
from app.exceptions import TokenExpired, Unauthorized
from durable_stream import StreamNotFound

STREAM, OTHER = "s" * 32, "t" * 32
NOW, LATER = 1_000_000, 1_000_100
OLD, NEW = "o" * 32, "n" * 32
TOKENS = ApiTokens({"website": (OLD,), "tests": ("x" * 32,)})
TOKEN = sign(TOKENS, STREAM, "website", LATER)


def test_a_token_opens_its_stream() -> None:
    check(TOKENS, STREAM, TOKEN, NOW)


def test_it_opens_no_other() -> None:
    with pytest.raises(StreamNotFound):
        check(TOKENS, OTHER, TOKEN, NOW)


def test_it_expires() -> None:
    check(TOKENS, STREAM, TOKEN, LATER - 1)
    with pytest.raises(TokenExpired):
        check(TOKENS, STREAM, TOKEN, LATER)


def test_nothing_of_it_can_be_changed() -> None:
    owner, expires_at, signature = TOKEN.split(".")
    for forged in (
        f"tests.{expires_at}.{signature}",
        f"nobody.{expires_at}.{signature}",
        f"{owner}.{LATER + 1}.{signature}",
        f"{owner}.{expires_at}.{'A' * 43}",
        f"{owner}.{expires_at}.{signature[:-4]}AAAA",
    ):
        with pytest.raises(StreamNotFound):
            check(TOKENS, STREAM, forged, NOW)


@pytest.mark.parametrize("text", ["", "x", OLD, f"{TOKEN}x", f"{TOKEN}\n", TOKEN.replace(".", ":")])
def test_what_is_no_token_is_not_looked_at(text: str) -> None:
    with pytest.raises(Unauthorized):
        check(TOKENS, STREAM, text, NOW)


def test_it_survives_a_rotation_until_the_old_api_token_is_taken_out() -> None:
    check(ApiTokens({"website": (NEW, OLD)}), STREAM, TOKEN, NOW)
    with pytest.raises(StreamNotFound):
        check(ApiTokens({"website": (NEW,)}), STREAM, TOKEN, NOW)
