"""The bodies of requests on a wire: JSON, however their content type names them.

The clients do not agree on a content type, and FastAPI refuses one that it does not expect.
"""

import json
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from app.api import errors
from app.exceptions import RequestRefused

Form = TypeVar("Form", bound=BaseModel)


async def parsed(request: Request, form: type[Form]) -> Form:
    """The body in this form; raises RequestRefused, which names the first wrong member."""
    try:
        value = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise _no_object() from None
    if not isinstance(value, dict):
        raise _no_object()
    return valid(form, value)


def valid(form: type[Form], value: object) -> Form:
    """The value in this form; raises RequestRefused, which names the first wrong member."""
    try:
        return form.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
    param = ".".join(map(str, problems[0]["loc"])) or None
    message = errors.problems_told(problems)
    raise RequestRefused(400, "invalid_request", f"The request is invalid. {message}.", param)


def _no_object() -> RequestRefused:
    return RequestRefused(400, "invalid_json", "The body is not a JSON object: send one.")
