"""From Bedrock's errors and stop reasons to the failures that they mean.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html lists the
errors, https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html
their causes. Some errors have several causes, which only the message distinguishes.
"""

import contextlib
from collections.abc import Iterator

import urllib3
from botocore import exceptions

from app.exceptions import ProviderError
from app.log import logger
from app.models.calls import Reason
from app.models.failures import Code, failure

# In lower case: the name of an error within a stream begins with a small letter.
_BY_CODE: dict[str, Code] = {
    # ConverseStream's own
    "accessdeniedexception": "model_access_denied",
    "internalserverexception": "provider_failed",
    "modelerrorexception": "provider_failed",
    "modelnotreadyexception": "provider_overloaded",
    "modelstreamerrorexception": "provider_failed",
    "modeltimeoutexception": "provider_timeout",
    "resourcenotfoundexception": "unknown_model",
    "servicequotaexceededexception": "quota_exhausted",
    "serviceunavailableexception": "provider_overloaded",
    "throttlingexception": "provider_throttled",
    "validationexception": "provider_rejected",
    # common to AWS services
    "accessdenied": "model_access_denied",
    "expiredtoken": "provider_denied",
    "expiredtokenexception": "provider_denied",
    "incompletesignature": "provider_denied",
    "incompletesignatureexception": "provider_denied",
    "internalfailure": "provider_failed",
    "invalidclienttokenid": "provider_denied",
    "invalidsignatureexception": "provider_denied",
    "missingauthenticationtoken": "provider_denied",
    "missingauthenticationtokenexception": "provider_denied",
    "notauthorized": "model_access_denied",
    "optinrequired": "model_access_denied",
    "requestentitytoolargeexception": "context_too_long",
    "requestexpired": "provider_denied",
    "requesttimeout": "provider_timeout",
    "requesttimeoutexception": "provider_timeout",
    "serviceunavailable": "provider_overloaded",
    "signaturedoesnotmatch": "provider_denied",
    "throttling": "provider_throttled",
    "toomanyrequestsexception": "provider_throttled",
    "unrecognizedclientexception": "provider_denied",
}

# Where one code has several meanings: parts of the message, and their meaning.
_BY_MESSAGE: dict[str, tuple[tuple[str, Code], ...]] = {
    "accessdeniedexception": (
        ("api key", "provider_denied"),
        ("bearer token", "provider_denied"),
        ("security token", "provider_denied"),
    ),
    "resourcenotfoundexception": (("use case details", "model_access_denied"),),
    "throttlingexception": (("per day", "quota_exhausted"),),
    "validationexception": (
        ("too long", "context_too_long"),
        ("context length", "context_too_long"),
        ("context limit", "context_too_long"),
        ("context window", "context_too_long"),
        ("input tokens exceed", "context_too_long"),
        ("content filter", "content_filtered"),
        ("model identifier", "unknown_model"),
        ("on-demand throughput", "unknown_model"),
        ("operation not allowed", "model_access_denied"),
    ),
}

_BY_STATUS: dict[int, Code] = {
    401: "provider_denied",
    403: "model_access_denied",
    404: "unknown_model",
    408: "provider_timeout",
    413: "context_too_long",
    424: "provider_failed",
    429: "provider_throttled",
    503: "provider_overloaded",
    504: "provider_timeout",
}
_SERVER_ERROR = 500

_ENDS: dict[str, Reason] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "stop_sequence": "stop",
}
_STOPS: dict[str, Code] = {
    "content_filtered": "content_filtered",
    "guardrail_intervened": "guardrail_intervened",
    "malformed_model_output": "provider_failed",
    "malformed_tool_use": "tool_use_unsupported",
    "refusal": "content_filtered",
    "tool_use": "tool_use_unsupported",
}

_NO_CREDENTIALS = (
    exceptions.CredentialRetrievalError,
    exceptions.InvalidConfigError,
    exceptions.NoAuthTokenError,
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.ProfileNotFound,
    exceptions.SSOError,
    exceptions.TokenRetrievalError,
)


# After these errors the request has not left this machine; after any other it may have arrived.
_NEVER_SENT = (
    *_NO_CREDENTIALS,
    exceptions.ConnectTimeoutError,
    exceptions.EndpointConnectionError,
    exceptions.NoRegionError,
    exceptions.ProxyConnectionError,
)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Translate botocore's exceptions into ProviderError, here and nowhere else."""
    try:
        yield
    except ProviderError:
        raise
    except Exception as error:
        raise _error_of(error) from error


def finish_reason(stop_reason: object, *, answered: bool, with_tools: bool = False) -> Reason:
    """`stop` or `length`, or `tool_use` with tools; raises ProviderError for a failure.

    An unknown reason is `stop` after some text, and a failure without any (`answered` is false).
    """
    if (reason := _ENDS.get(str(stop_reason))) is not None:
        return reason
    if with_tools and stop_reason == "tool_use":
        return "tool_use"
    logger.warning("bedrock stopped", extra={"reason": stop_reason})
    if with_tools and stop_reason == "malformed_tool_use":
        raise failure("provider_garbled")
    if answered and str(stop_reason) not in _STOPS:
        return "stop"
    raise failure(_STOPS.get(str(stop_reason), "provider_rejected"), at_work=True)


def _error_of(error: Exception) -> ProviderError:
    if isinstance(error, exceptions.ClientError):
        return _from_answer(error)
    # Without its message, which may quote the prompt.
    logger.warning("bedrock failed", extra={"type": type(error).__name__})
    return failure(_without_answer(error), at_work=not isinstance(error, _NEVER_SENT))


def _from_answer(error: exceptions.ClientError) -> ProviderError:
    answer = error.response
    code, message = str(answer["Error"].get("Code", "")), str(answer["Error"].get("Message", ""))
    # An event within a stream has no status.
    metadata = answer.get("ResponseMetadata", {})
    status = None if isinstance(error, exceptions.EventStreamError) else metadata["HTTPStatusCode"]
    logger.warning(
        "bedrock refused",
        extra={"type": code, "status": status, "aws_request_id": metadata.get("RequestId")},
    )
    meaning = _by_code(code.lower(), message.lower()) or _by_status(status)
    return failure(meaning, at_work=status is None)


def _by_code(code: str, message: str) -> Code | None:
    for part, meaning in _BY_MESSAGE.get(code, ()):
        if part in message:
            return meaning
    return _BY_CODE.get(code)


def _by_status(status: int | None) -> Code:
    if status is None:
        return "provider_failed"
    known = _BY_STATUS.get(status)
    return known or ("provider_failed" if status >= _SERVER_ERROR else "provider_rejected")


def _without_answer(error: Exception) -> Code:
    match error:
        case exceptions.ReadTimeoutError() | urllib3.exceptions.ReadTimeoutError():
            return "provider_timeout"
        case exceptions.HTTPClientError() | exceptions.ConnectionError():
            return "provider_unreachable"
        case urllib3.exceptions.HTTPError() | OSError():
            return "provider_cut"
        case _ if isinstance(error, _NO_CREDENTIALS):
            return "provider_denied"
        case exceptions.BotoCoreError():
            return "provider_rejected"
        case _:
            # The parser may raise any exception for malformed data.
            return "provider_garbled"
