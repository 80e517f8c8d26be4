"""The models that answer. A request to one provider imports nothing of the others."""

from collections.abc import Mapping

from app.log import logger
from app.models.answering import answer
from app.models.base import Provider

__all__ = ["NAMES", "answer", "create", "resolve"]

NAMES = ("auto", "demo", "bedrock", "openai", "anthropic")


def resolve(name: str, environ: Mapping[str, str]) -> str:
    """The provider that is meant; for `auto`, the one that the environment decides for."""
    if name != "auto":
        return name
    from app.models.choice import choose

    choice = choose(environ)
    logger.info("provider chosen", extra={"provider": choice.provider, "because": choice.reason})
    return choice.provider


def create(name: str, environ: Mapping[str, str]) -> Provider:
    """The provider of that name; raises ValueError with what to set."""
    match resolve(name, environ):
        case "demo":
            from app.models.demo import DemoProvider

            return DemoProvider.from_environ(environ)
        case "bedrock":
            from app.models.bedrock import BedrockProvider

            return BedrockProvider.from_environ(environ)
        case "openai":
            from app.models.openai import OpenAIProvider

            return OpenAIProvider.from_environ(environ)
        case "anthropic":
            from app.models.anthropic import AnthropicProvider

            return AnthropicProvider.from_environ(environ)
        case _:
            names = ", ".join(NAMES)
            raise ValueError(f"PROVIDER={name!r} is not known: set it to one of: {names}")
