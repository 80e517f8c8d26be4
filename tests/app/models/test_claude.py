"""The models of Claude that take a prefill."""

import pytest

from app.models.continuation import claude_takes_prefill


@pytest.mark.parametrize(
    "model",
    [
        "claude-3-haiku-20240307",
        "claude-3-5-sonnet-latest",
        "claude-3-7-sonnet-20250219",
        "claude-instant-1.2",
        "claude-2.1",
        "claude-opus-4-0",
        "claude-opus-4-20250514",
        "claude-sonnet-4@20250514",
        "claude-opus-4-1-20250805",
        "claude-sonnet-4-5",
        "claude-haiku-4-5-20251001",
        "anthropic.claude-instant-v1",
        "anthropic.claude-v2:1",
        "anthropic.claude-3-haiku-20240307-v1:0",
        "us.anthropic.claude-sonnet-4-20250514-v1:0",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-3-7-sonnet-20250219-v1:0",
    ],
)
def test_claude_up_to_4_5_takes_a_prefill(model: str) -> None:
    assert claude_takes_prefill(model)


@pytest.mark.parametrize(
    "model",
    [
        "claude-opus-4-6",
        "claude-sonnet-4-6-20260217",
        "claude-opus-4-7",
        "claude-opus-4-10",
        "claude-opus-5-5",
        "claude-fable-5",
        "anthropic.claude-opus-4-6-v1",
        "global.anthropic.claude-opus-5-5",
        "claude-30-opus",
        "not-claude-3-haiku",
        "amazon.nova-pro-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123",
    ],
)
def test_any_other_model_is_asked(model: str) -> None:
    assert not claude_takes_prefill(model)
