"""What a model's service says is wrong, and which failure that is.

Services agree on little. OpenAI and most that copy it send `{"error": {"type", "code",
"message"}}`, Anthropic the same without a code, Ollama a string in place of the object, older
vLLM the members without the object, and what stands in between, HTML. Where status, type and code
do not tell, the message is searched. It is never logged or shown: it may quote prompt or key.
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

# Whatever else is said: who asks may not.
_FIRM_STATUSES: dict[int, Code] = {
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

# For those who call everything an `invalid_request_error`, a `BadRequestError` or nothing.
_PHRASES: dict[str, Code] = {
    r"context.?(length|window|size|limit)": "context_too_long",
    r"(prompt|input) is too long": "context_too_long",
    r"(credit|insufficient) balance": "quota_exhausted",
    r"content.?(filter|management|policy)": "content_filtered",
    r"invalid url": "provider_rejected",
    r"invalid model\b": "unknown_model",
}

# Where the status says no more than that something is wrong with the request. All others mean
# what they are, however their message is worded: it may quote the prompt.
_TELLING = frozenset(
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

# What an error type or code looks like; anything else may be the prompt, and is not logged.
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Complaint:
    """One error as it was told; `found` says whether there was one in what was sent."""

    status: int
    found: bool = False
    type: str = ""
    code: str = ""
    message: str = ""

    @classmethod
    def of(cls, status: int, said: Any) -> Self:
        """Read what came with this status. `said` is any JSON; None where it was none."""
        members = said if isinstance(said, dict) else {}
        error = members.get("error", members if members.get("object") == "error" else None)
        if not error:
            return cls(status)
        if not isinstance(error, dict):
            return cls(status, found=True, message=str(error))
        code = str(error.get("code") or "")
        if status == HTTPStatus.OK and re.fullmatch(r"[45]\d\d", code):
            status = int(code)  # An error within a stream, which has begun with 200.
        type_, message = (str(error.get(name) or "") for name in ("type", "message"))
        return cls(status, found=True, type=type_, code=code, message=message)

    @property
    def failure(self) -> Code:
        """Which failure it is."""
        if code := _FIRM_STATUSES.get(self.status):
            return code
        for word in (self.code, self.type):
            if code := _WORDS.get(word.lower()):
                return code
        if self.status in _TELLING:
            for phrase, code in _PHRASES.items():
                if re.search(phrase, self.message, re.IGNORECASE):
                    return code
        return _STATUSES.get(self.status) or self._by_kind_of_status()

    def _by_kind_of_status(self) -> Code:
        if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return "provider_failed"
        if self.status < HTTPStatus.MULTIPLE_CHOICES:
            return "provider_failed" if self.found else "provider_incompatible"
        # Without an error in it, a 404 is about the address, not the model.
        if self.status == HTTPStatus.NOT_FOUND and self.found:
            return "unknown_model"
        return "provider_rejected"


def refusal(status: int, said: Any) -> ProviderError:
    """The error to raise for what a service said; the log gets what is safe to tell of it."""
    complaint = Complaint.of(status, said)
    words = {"provider_type": complaint.type, "provider_code": complaint.code}
    logger.warning(
        "the provider refuses",
        extra={
            "status": complaint.status,
            **{name: word for name, word in words.items() if _WORD.fullmatch(word)},
        },
    )
    # With 200 the server has taken the request: the model may have been at work.
    return failure(complaint.failure, at_work=status == HTTPStatus.OK)


def finish_reason(said: str, meanings: Mapping[str, Ending], *, answered: bool) -> FinishReason:
    """`stop` or `length`; raises ProviderError for a reason that means a failure.

    A reason that `meanings` lacks ends an answer that has text: servers name their ends as they
    like. Without text (`answered` is false) it is a failure.
    """
    meaning = meanings.get(said, "stop" if answered else "provider_rejected")
    if said not in meanings or meaning not in get_args(FinishReason):
        known = {"reason": said} if _WORD.fullmatch(said) else {}
        logger.warning("the provider stopped", extra=known)
    if meaning == "stop" or meaning == "length":  # noqa: PLR1714 - mypy narrows this, not `in`
        return meaning
    raise failure(meaning, at_work=True)


def parsed(text: bytes | str) -> Any:
    """The JSON of this text; None if it is none.

    By the standard library: pydantic's own parser refuses half a surrogate pair.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
