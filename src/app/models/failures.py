"""Every way in which a provider can fail, with its code and its message.

Codes are stable: clients may act on them. A message names the next step, for the reader or the
operator. It never quotes the provider, whose text may hold keys, account ids, or the prompt.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, get_args

from app.exceptions import ProviderError

Passing = Literal[
    "key_unavailable",
    "provider_cut",
    "provider_failed",
    "provider_garbled",
    "provider_overloaded",
    "provider_throttled",
    "provider_timeout",
    "provider_unreachable",
]

Final = Literal[
    "content_filtered",
    "context_too_long",
    "guardrail_intervened",
    "key_unreadable",
    "model_access_denied",
    "provider_denied",
    "provider_incompatible",
    "provider_rejected",
    "quota_exhausted",
    "too_many_rounds",
    "tool_use_unsupported",
    "unknown_model",
]

Code = Passing | Final

# The provider refuses before the model works, so the request costs nothing, unless the failure
# came later (`at_work`).
BEFORE_ANY_WORK: frozenset[Code] = frozenset(
    {
        "context_too_long",
        "key_unavailable",
        "key_unreadable",
        "model_access_denied",
        "provider_denied",
        "provider_overloaded",
        "provider_rejected",
        "provider_throttled",
        "provider_unreachable",
        "quota_exhausted",
        "unknown_model",
    }
)

_MESSAGES: dict[Code, str] = {
    "key_unavailable": "The key to the model's service cannot be had right now. Try again.",
    "provider_cut": "The model's answer was cut short. Try again.",
    "provider_failed": "The model's service failed. Try again.",
    "provider_garbled": "The model's service sent something unreadable. Try again.",
    "provider_overloaded": "The model's service is overloaded. Try again in a minute.",
    "provider_throttled": "The model's rate limit is reached. Try again in a minute.",
    "provider_timeout": "The model fell silent. Try again.",
    "provider_unreachable": "The model's service cannot be reached. Try again; if it stays so, "
    "the operator checks the provider's address and the network.",
    "content_filtered": "The provider's content filter stopped the answer. Ask differently.",
    "context_too_long": "The conversation is too long for this model. Shorten it, or choose a "
    "model with a larger context.",
    "guardrail_intervened": "A guardrail stopped the answer. Ask differently.",
    "key_unreadable": "The key to the model's service cannot be read. The operator checks where "
    "the settings say it is, and that the function may read it.",
    "model_access_denied": "This account has no access to the model. The operator enables it "
    "with the provider, or allows it in the function's policy.",
    "provider_denied": "The provider does not accept our credentials. The operator checks the "
    "key, and that it has not expired.",
    "provider_incompatible": "The provider answers, but not with a stream of events. The operator "
    "checks the provider's address and kind.",
    "provider_rejected": "The provider does not take this request. The operator finds its "
    "status and type in the function's log.",
    "quota_exhausted": "The provider's quota is used up. The operator checks billing and limits.",
    "too_many_rounds": "The model went on calling tools and came to no answer. Ask for less at "
    "once.",
    "tool_use_unsupported": "The model asked for a tool, but none was offered. Ask it to answer "
    "in text.",
    "unknown_model": "The provider does not know this model. The operator corrects MODELS.",
}


def failure(code: Code, *, at_work: bool = False) -> ProviderError:
    """The error of that code; it is retryable if the same request may succeed later.

    `at_work` means that the model may have worked on the request, with any code.
    """
    return ProviderError(
        code,
        _MESSAGES[code],
        retryable=code in get_args(Passing),
        free=code in BEFORE_ANY_WORK and not at_work,
    )


@contextmanager
def with_output_tokens(output_tokens: Callable[[], int | None]) -> Iterator[None]:
    """Add the number of generated tokens to a failure that is raised within the block."""
    try:
        yield
    except ProviderError as error:
        error.output_tokens = output_tokens()
        raise
