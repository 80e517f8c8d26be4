"""The failure that an error means, in the words of the services that send it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.models.failures import Code
from app.models.http.http_errors import ErrorBody, error_of, parsed

OPENAI: list[tuple[int, Any, Code]] = [
    (401, {"type": "invalid_request_error", "code": "invalid_api_key"}, "provider_denied"),
    (403, {"type": "invalid_request_error", "code": "model_not_found"}, "model_access_denied"),
    (404, {"type": "invalid_request_error", "code": "model_not_found"}, "unknown_model"),
    (404, {"message": "Invalid URL (POST /v2/chat/completions)"}, "provider_rejected"),
    (400, {"code": "context_length_exceeded"}, "context_too_long"),
    (400, {"code": "unsupported_parameter"}, "provider_rejected"),
    (429, {"type": "tokens", "code": "rate_limit_exceeded"}, "provider_throttled"),
    (429, {"type": "insufficient_quota", "code": "insufficient_quota"}, "quota_exhausted"),
    (429, {"type": "insufficient_quota", "code": None}, "quota_exhausted"),
    (500, {"type": "server_error", "code": None}, "provider_failed"),
    (503, {"type": "server_error", "message": "Slow down"}, "provider_overloaded"),
    # The status decides that a failure is passing, not the message.
    (429, {"message": "context window tokens per minute"}, "provider_throttled"),
    (503, {"message": "the content filter is unavailable"}, "provider_overloaded"),
    (500, {"message": "the input is too long in the queue"}, "provider_failed"),
]
AZURE: list[tuple[int, Any, Code]] = [
    (400, {"code": "content_filter", "message": "…content management policy…"}, "content_filtered"),
    (404, {"code": "DeploymentNotFound"}, "unknown_model"),
    (408, {"code": "Timeout"}, "provider_timeout"),
]
VLLM: list[tuple[int, Any, Code]] = [
    (404, {"type": "NotFoundError", "code": 404}, "unknown_model"),
    (
        400,
        {"type": "BadRequestError", "message": "This model's maximum context length is 4096"},
        "context_too_long",
    ),
    (200, {"type": "InternalServerError", "code": 500}, "provider_failed"),
    (200, {"type": "BadRequestError", "code": 400}, "provider_rejected"),
]
LLAMA_CPP: list[tuple[int, Any, Code]] = [
    (400, {"type": "exceed_context_size_error", "code": 400}, "context_too_long"),
    (503, {"type": "unavailable_error", "message": "Loading model"}, "provider_overloaded"),
]
OTHERS: list[tuple[int, Any, Code]] = [
    (404, {"type": "api_error", "message": "model 'x' not found, try pulling"}, "unknown_model"),
    (402, {"message": "Insufficient Balance"}, "quota_exhausted"),
    (400, {"message": "litellm.ContextWindowExceededError: …", "code": "400"}, "context_too_long"),
    (400, {"message": "… Invalid model name passed in model=x", "code": "400"}, "unknown_model"),
    (200, {"code": 502, "message": "Provider returned error"}, "provider_failed"),
    (200, {"code": 429, "message": "Rate limited upstream"}, "provider_throttled"),
    (413, {}, "context_too_long"),
    (409, {"type": "conflict"}, "provider_failed"),
]
ANTHROPIC: list[tuple[int, Any, Code]] = [
    (400, {"type": "invalid_request_error", "message": "max_tokens: …"}, "provider_rejected"),
    (
        400,
        {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000"},
        "context_too_long",
    ),
    (
        400,
        {"type": "invalid_request_error", "message": "Your credit balance is too low to …"},
        "quota_exhausted",
    ),
    (
        400,
        {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"},
        "content_filtered",
    ),
    (401, {"type": "authentication_error"}, "provider_denied"),
    (402, {"type": "billing_error"}, "quota_exhausted"),
    (403, {"type": "permission_error"}, "model_access_denied"),
    (404, {"type": "not_found_error", "message": "model: claude-9"}, "unknown_model"),
    (413, {"type": "request_too_large"}, "context_too_long"),
    (429, {"type": "rate_limit_error"}, "provider_throttled"),
    (500, {"type": "api_error"}, "provider_failed"),
    (504, {"type": "timeout_error"}, "provider_timeout"),
    (529, {"type": "overloaded_error"}, "provider_overloaded"),
    (200, {"type": "overloaded_error"}, "provider_overloaded"),
    (200, {"type": "api_error"}, "provider_failed"),
]


@pytest.mark.parametrize(
    ("status", "error", "code"), OPENAI + AZURE + VLLM + LLAMA_CPP + OTHERS + ANTHROPIC
)
def test_an_error_is_the_failure_that_it_means(status: int, error: Any, code: Code) -> None:
    assert ErrorBody.of(status, {"error": error}).failure == code


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (404, {"error": "model 'x' not found"}, "unknown_model"),
        (404, {"object": "error", "type": "NotFoundError", "code": 404}, "unknown_model"),
        (404, {"detail": "Not Found"}, "provider_rejected"),
        (404, None, "provider_rejected"),
        (200, {"object": "chat.completion"}, "provider_incompatible"),
        (200, None, "provider_incompatible"),
        (307, None, "provider_rejected"),
        (422, {"detail": []}, "provider_rejected"),
        (418, None, "provider_rejected"),
        (502, None, "provider_failed"),
        (599, None, "provider_failed"),
        (429, "Too many requests", "provider_throttled"),
    ],
)
def test_a_body_of_any_other_shape_is_decided_too(status: int, body: Any, code: Code) -> None:
    assert ErrorBody.of(status, body).failure == code


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists)


@settings(deadline=None)
@given(
    st.integers(100, 999),
    st.fixed_dictionaries(
        {}, optional={"error": JSON | st.dictionaries(st.sampled_from(["type", "code"]), JSON)}
    ),
)
def test_any_json_with_any_status_is_decided(status: int, body: Any) -> None:
    assert error_of(status, body).message


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_are_json_or_none(body: bytes) -> None:
    value = parsed(body)

    assert value is None or json.loads(body) == value or value != value  # noqa: PLR0124 - NaN


def test_the_log_holds_status_type_and_code_but_no_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error_of(400, {"error": {"type": "some_error", "code": "a prompt?", "message": "sk-key"}})

    told = vars(caplog.records[-1])
    assert (told["status"], told["provider_type"]) == (400, "some_error")
    assert "prompt" not in str(told)
    assert "sk-key" not in str(told)
