"""From the body of a request to the request that a model is sent."""

from collections.abc import Sequence
from dataclasses import replace

from app.api.schemas import CreateStream
from app.exceptions import RequestRefused
from app.models.base import Message, Request
from app.settings import PromptLimits


def model_request(
    body: CreateStream, before: Sequence[Message], models: Sequence[str], limits: PromptLimits
) -> Request:
    """The model's request, `before` and the body; raises RequestRefused if it is over a limit.

    The messages before are not limited here: the log takes what fits into one record.
    """
    request = _of_body(body, models, limits)
    _check(request, models, limits)
    return replace(request, messages=(*before, *request.messages))


def _of_body(body: CreateStream, models: Sequence[str], limits: PromptLimits) -> Request:
    if body.prompt is not None:
        messages: tuple[Message, ...] = (Message("user", body.prompt),)
    else:
        messages = tuple(Message(m.role, m.content) for m in body.messages or ())
    return Request(
        messages=messages,
        model=models[0] if body.model is None else body.model,
        max_tokens=body.max_tokens or min(limits.default_max_tokens, limits.max_tokens),
        temperature=body.temperature,
        system=body.system or None,
        stop=tuple(body.stop or ()),
    )


def _check(request: Request, models: Sequence[str], limits: PromptLimits) -> None:
    size = request.size_bytes
    if size > limits.max_prompt_bytes:
        raise RequestRefused(
            413,
            "prompt_too_large",
            f"The prompt has {size} bytes; at most {limits.max_prompt_bytes} are taken: "
            "shorten it.",
        )
    if request.model not in models:
        known = ", ".join(models)
        raise RequestRefused(
            422, "unknown_model", f"This model is not served. Use one of: {known}."
        )
    if request.max_tokens > limits.max_tokens:
        raise RequestRefused(
            422, "invalid_request", f"max_tokens may be at most {limits.max_tokens}."
        )
