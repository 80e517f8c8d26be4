"""The models that answer. Asking one provider imports no other; `app.providers` lists them."""

import pkgutil
from collections.abc import Mapping

from app import providers
from app.log import logger
from app.models.answering import answer
from app.models.base import Message, Provider, Request
from app.models.tools import Tool, tool

__all__ = ["Message", "Request", "Tool", "answer", "create", "resolve", "tool"]


def resolve(name: str, environ: Mapping[str, str]) -> str:
    """The provider's name; for `auto`, the one that the environment decides for."""
    if name != "auto":
        return name
    choice = providers.choose(environ)
    logger.info("provider chosen", extra={"provider": choice.provider, "because": choice.reason})
    return choice.provider


def create(name: str, environ: Mapping[str, str]) -> Provider:
    """The provider of that name; raises ValueError with the setting to fix."""
    entry = providers.entry(resolve(name, environ))
    provider: Provider = pkgutil.resolve_name(entry.location).from_environ(environ)
    return provider
