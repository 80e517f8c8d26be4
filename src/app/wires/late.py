"""Routes that are imported with the first request for them.

The wires are a tenth of the application's imports. The first token of another client waits for
none of them.
"""

import pkgutil

from fastapi import APIRouter
from starlette.routing import Match
from starlette.types import Scope


class LateRouter(APIRouter):
    """The router at `location`, as module:name, imported when a path first has its `prefix`.

    Its routes are not in the OpenAPI document. The prefix anywhere in a path is enough: under the
    path of a stage it is not at the beginning.
    """

    def __init__(self, prefix: str, location: str) -> None:
        super().__init__(include_in_schema=False)
        self.path_prefix = prefix
        self._location = location
        self._is_loaded = False

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match the routes, which are imported unless the path cannot be one of theirs."""
        if self.path_prefix not in scope["path"]:
            return Match.NONE, {}
        self.load()
        return super().matches(scope)

    def load(self) -> None:
        """Import the routes, unless they are there."""
        if not self._is_loaded:
            self.include_router(pkgutil.resolve_name(self._location))
            self._is_loaded = True
