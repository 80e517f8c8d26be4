"""`PROVIDER=auto`: which provider the environment means.

The first of these that holds decides:

    ANTHROPIC_API_KEY or ANTHROPIC_API_KEY_FROM                      anthropic
    OPENAI_API_KEY, OPENAI_API_KEY_FROM or OPENAI_BASE_URL           openai
    MODELS begins with a Bedrock model id, and AWS credentials       bedrock
    nothing of all that                                              demo
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from app import secret

# An ARN of Bedrock's, or vendor.model with a region's or "global." in front. What comes behind
# the vendor begins with a letter: "llama3.2" and "gpt-4.1" are other servers' names.
_BEDROCK_MODEL = re.compile(r"arn:[^:]+:bedrock:.+|([a-z-]+\.)?[a-z0-9]+\.[a-z][a-z0-9.:-]*")

# Where botocore finds credentials, as far as the environment tells.
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)


@dataclass(frozen=True, slots=True)
class Choice:
    """A provider's name, and what decided for it."""

    provider: str
    reason: str


def choose(environ: Mapping[str, str]) -> Choice:
    """The provider that the environment means; nothing is asked over a network."""
    if secret.is_set(environ, "ANTHROPIC_API_KEY"):
        return Choice("anthropic", "a key for Anthropic is set")
    if secret.is_set(environ, "OPENAI_API_KEY"):
        return Choice("openai", "a key for OpenAI is set")
    if environ.get("OPENAI_BASE_URL"):
        return Choice("openai", "OPENAI_BASE_URL is set")
    default_model = environ.get("MODELS", "").partition(",")[0].strip()
    if _BEDROCK_MODEL.fullmatch(default_model) and any(map(environ.get, _CREDENTIALS)):
        return Choice("bedrock", "MODELS begins with a Bedrock model, and there are credentials")
    return Choice("demo", "no key, no OPENAI_BASE_URL, and no Bedrock model in MODELS")
