"""From a model service's error response to the failure that it means.

Services agree on little. OpenAI and most of its imitators send `{"error": {"type", "code",
"message"}}`, Anthropic the same without a code, Ollama a string in place of the object, older vLLM
the members without the object, and proxies send HTML. Where status, type and code do not decide,
the message is searched. It is never logged or shown: it may quote the prompt or the key.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, Self, get_args

from app.exceptions import ProviderError
from app.log import logger
from app.models.failures import Code, failure

FinishReason = Literal["stop", "length"]
Ending = FinishReason | Code

# These statuses decide alone: the caller is not allowed.
_DECISIVE_STATUSES: dict[int, Code] = {
    HTTPStatus.UNAUTHORIZED: "provider_denied",
    HTTPStatus.PAYMENT_REQUIRED: "quota_exhausted",
    HTTPStatus.FORBIDDEN: "model_access_denied",
}

# Types and codes of OpenAI, Azure, Anthropic, Ollama, llama.cpp and vLLM, in lower case.
_WORDS: dict[str, Code] = {
    "authentication_error": "provider_denied",
    "billing_error": "quota_exhausted",
    "billing_hard_limit_reached": "quota_exhausted",
    "billing_not_active": "quota_exhausted",
    "content_filter": "content_filtered",
    "content_policy_violation": "content_filtered",
    "context_length_exceeded": "context_too_long",
    "exceed_context_size_error": "context_too_long",
    "insufficient_quota": "quota_exhausted",
    "invalid_api_key": "provider_denied",
    "model_not_found": "unknown_model",
    "not_found_error": "unknown_model",
    "notfounderror": "unknown_model",
    "overloaded_error": "provider_overloaded",
    "permission_error": "model_access_denied",
    "rate_limit_error": "provider_throttled",
    "rate_limit_exceeded": "provider_throttled",
    "request_too_large": "context_too_long",
    "timeout_error": "provider_timeout",
}

# For services that call everything an `invalid_request_error`, a `BadRequestError` or nothing.
_PHRASES: dict[str, Code] = {
    r"context.?(length|window|size|limit)": "context_too_long",
    r"(prompt|input) is too long": "context_too_long",
    r"(credit|insufficient) balance": "quota_exhausted",
    r"content.?(filter|management|policy)": "content_filtered",
    r"invalid url": "provider_rejected",
    r"invalid model\b": "unknown_model",
}

# With these statuses any part of the request may be wrong, so the message decides. With all others
# it does not: it may quote the prompt.
_VAGUE_STATUSES = frozenset(
    {
        HTTPStatus.OK,
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)

_STATUSES: dict[int, Code] = {
    HTTPStatus.REQUEST_TIMEOUT: "provider_timeout",
    HTTPStatus.CONFLICT: "provider_failed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "context_too_long",
    HTTPStatus.TOO_MANY_REQUESTS: "provider_throttled",
    HTTPStatus.SERVICE_UNAVAILABLE: "provider_overloaded",
    HTTPStatus.GATEWAY_TIMEOUT: "provider_timeout",
    529: "provider_overloaded",  # Anthropic's own
}

# The shape of an error type or code. Anything else may be the prompt, and is not logged.
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The error in the body of a response; `found` is false where the body holds none."""

    status: int
    found: bool = False
    type: str = ""
    code: str = ""
    message: str = ""

    @classmethod
    def of(cls, status: int, body: Any) -> Self:
        """The error in a body that came with this status. The body is any JSON, or None."""
        members = body if isinstance(body, dict) else {}
        error = members.get("error", members if members.get("object") == "error" else None)
        if not error:
            return cls(status)
        if not isinstance(error, dict):
            return cls(status, found=True, message=str(error))
        code = str(error.get("code") or "")
        if status == HTTPStatus.OK and re.fullmatch(r"[45]\d\d", code):
            status = int(code)  # An error within a stream, whose own status is 200.
        type_, message = (str(error.get(name) or "") for name in ("type", "message"))
        return cls(status, found=True, type=type_, code=code, message=message)

    @property
    def failure(self) -> Code:
        """The code of the failure that it means."""
        if code := _DECISIVE_STATUSES.get(self.status):
            return code
        for word in (self.code, self.type):
            if code := _WORDS.get(word.lower()):
                return code
        if self.status in _VAGUE_STATUSES:
            for phrase, code in _PHRASES.items():
                if re.search(phrase, self.message, re.IGNORECASE):
                    return code
        return _STATUSES.get(self.status) or self._by_kind_of_status()

    def _by_kind_of_status(self) -> Code:
        if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return "provider_failed"
        if self.status < HTTPStatus.MULTIPLE_CHOICES:
            return "provider_failed" if self.found else "provider_incompatible"
        # A 404 without an error is about the address, not the model.
        if self.status == HTTPStatus.NOT_FOUND and self.found:
            return "unknown_model"
        return "provider_rejected"


def error_of(status: int, body: Any) -> ProviderError:
    """The exception for an error response; logs its status, and its type and code where safe."""
    error = ErrorBody.of(status, body)
    words = {"provider_type": error.type, "provider_code": error.code}
    logger.warning(
        "the provider refuses",
        extra={
            "status": error.status,
            **{name: word for name, word in words.items() if _WORD.fullmatch(word)},
        },
    )
    # With 200 the server has accepted the request: the model may have worked.
    return failure(error.failure, at_work=status == HTTPStatus.OK)


def finish_reason(reason: str, meanings: Mapping[str, Ending], *, answered: bool) -> FinishReason:
    """`stop` or `length`; raises ProviderError for a reason that means a failure.

    Servers invent reasons. One that `meanings` lacks is `stop` after some text, and a failure
    without any (`answered` is false).
    """
    meaning = meanings.get(reason, "stop" if answered else "provider_rejected")
    if reason not in meanings or meaning not in get_args(FinishReason):
        shown = {"reason": reason} if _WORD.fullmatch(reason) else {}
        logger.warning("the provider stopped", extra=shown)
    if meaning == "stop" or meaning == "length":  # noqa: PLR1714 - mypy narrows this, not `in`
        return meaning
    raise failure(meaning, at_work=True)


def parsed(text: bytes | str) -> Any:
    """The value of a JSON text; None if the text is not JSON.

    This uses the standard library: pydantic's parser refuses half a surrogate pair.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
