"""Access: API tokens and stream tokens. Optional: without this folder the application is open."""

from collections.abc import Mapping

from app import secret
from app.access.api_tokens import ApiTokens
from app.access.token_gate import TokenGate
from app.gate import Gate, OpenGate
from app.secret import GivenSecret


def from_environ(environ: Mapping[str, str]) -> Gate:
    """The gate for `API_TOKENS` or `API_TOKENS_FROM`, open without; raises ValueError.

    A variable that is set but empty is a mistake, and must not open the gate. Only SAM CLI sets
    variables to nothing that a condition of the template leaves out.
    """
    found = secret.from_environ(environ, "API_TOKENS")
    if found is None:
        for name in ("API_TOKENS", "API_TOKENS_FROM"):
            if name in environ and "AWS_SAM_LOCAL" not in environ:
                raise ValueError(f"{name} is empty: leave it out to let everybody in")
        return OpenGate()
    if isinstance(found, GivenSecret):
        ApiTokens.parse(found.given)
    return TokenGate(found)
