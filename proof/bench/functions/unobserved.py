"""The application without all that watches it: no Powertools, nothing logged, nothing counted."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from starlette.types import ASGIApp


class _Silent:
    """Has every method, and none does anything."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return _nothing


def _nothing(*_: Any, **__: Any) -> None:
    """Log nothing and count nothing."""


def _as_it_is(app: ASGIApp) -> ASGIApp:
    """An application, in the place of a middleware around it."""
    return app


def _replace(name: str, **members: Any) -> None:
    module = sys.modules[name] = ModuleType(name)
    vars(module).update(members)


_replace("app.log", logger=_Silent(), shortened=str, described=_nothing, RequestIdInLog=_as_it_is)
_replace("app.metrics", __getattr__=lambda _: _nothing)

from app.main import handler  # noqa: E402

__all__ = ["handler"]
