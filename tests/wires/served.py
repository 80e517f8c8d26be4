"""A function with the wires, as their clients find it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from tests.flows.conftest import Function, Start
from tests.plugin import ROOT

USUAL: Mapping[str, str] = MappingProxyType(
    {"DEMO_TOKENS": "40", "DEMO_TOKENS_PER_SECOND": "80", "DEMO_FIRST_TOKEN_MS": "20"}
)


@dataclass(frozen=True)
class Deployed:
    """A function with a wire."""

    function: Function

    # The beginning of the paths of the wire's requests.
    PATHS: ClassVar[str]

    @property
    def url(self) -> str:
        return self.function.url

    async def snapshot(self, stream_id: str, **headers: str) -> dict[str, Any]:
        """The stream as the server's own wire tells it."""
        answered = await self.function.http.get(f"/streams/{stream_id}", headers=headers)
        assert answered.status_code == 200, answered.text
        snapshot: dict[str, Any] = answered.json()
        return snapshot

    async def writing(self) -> list[str]:
        """The names of the sandboxes that answer the wire's clients."""
        return [
            sandbox["name"]
            for sandbox in await self.function.sandboxes()
            if any(each["path"].startswith(self.PATHS) for each in sandbox["invocations"])
        ]

    async def kill_writers(self) -> None:
        """Kill every sandbox that answers one."""
        for name in await self.writing():
            await self.function.do("kill", name)


OfWire = TypeVar("OfWire", bound=Deployed)


def starting(start: Start, handler: str, usual: Mapping[str, str] = USUAL) -> Start:
    """A way to run a handler of the tests; `usual` holds for what a test's `env` does not name."""

    @asynccontextmanager
    async def started(
        env: Mapping[str, str] | None = None, **options: Any
    ) -> AsyncIterator[Function]:
        env = {"PYTHONPATH": str(ROOT), **usual, **(env or {})}
        async with start(env, handler=handler, **options) as function:
            yield function

    return started


def deploying(
    start: Start, handler: str, of_wire: Callable[[Function], OfWire]
) -> Callable[..., AbstractAsyncContextManager[OfWire]]:
    """A way to run a handler, for the length of an `async with`."""
    run = starting(start, handler)

    @asynccontextmanager
    async def deployed(
        env: Mapping[str, str] | None = None, **options: Any
    ) -> AsyncIterator[OfWire]:
        async with run(env, **options) as function:
            yield of_wire(function)

    return deployed
