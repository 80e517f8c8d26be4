"""API tokens as they are configured, and their owners."""

import json

import pytest

from app.access.api_tokens import ApiTokens

OLD, NEW, OTHER = "o" * 32, "n" * 32, "x" * 40


def test_a_name_may_have_several_tokens_so_that_they_can_be_changed_without_a_gap() -> None:
    tokens = ApiTokens.parse(json.dumps({"website": [NEW, OLD], "tests": OTHER}))

    assert tokens.name_of(NEW) == tokens.name_of(OLD) == "website"
    assert tokens.name_of(OTHER) == "tests"


@pytest.mark.parametrize("token", ["", OLD[:-1], OLD + "o", OLD.upper(), "ä" * 32])
def test_what_is_not_exactly_a_token_is_nobodys(token: str) -> None:
    assert ApiTokens.parse(json.dumps({"website": OLD})).name_of(token) is None


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "JSON object"),
        ("{}", "JSON object"),
        (f'"{OLD}"', "JSON object"),
        (f'{{"website": "{OLD}"', "JSON object"),
        (f'{{"web site": "{OLD}"}}', "A-Z"),
        (f'{{"": "{OLD}"}}', "A-Z"),
        ('{"website": []}', "website"),
        (f'{{"website": {{"token": "{OLD}"}}}}', "website"),
        (f'{{"website": ["{OLD}", null]}}', "website"),
        (f'{{"website": "{OLD[1:]}"}}', "openssl rand"),
        (f'{{"website": "{"ä" * 32}"}}', "website"),
        (f'{{"website": "{OLD}\\n"}}', "website"),
        (f'{{"website": "{OLD} {OLD}"}}', "website"),
        (f'{{"website": "{OLD}", "tests": "{OLD}"}}', "twice"),
    ],
)
def test_a_mistake_is_told_without_a_token(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint) as refused:
        ApiTokens.parse(text)

    assert OLD[1:] not in str(refused.value)
    assert refused.value.__cause__ is None


def test_tokens_are_not_shown() -> None:
    assert OLD not in repr(ApiTokens.parse(json.dumps({"website": OLD})))
