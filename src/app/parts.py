"""The optional parts. To remove one, delete its folder and the lines here that end in its name."""

from collections.abc import Callable, Mapping, Sequence

from app.access import from_environ as access  # access
from app.application import MakeHooks, watching
from app.gate import Gate, OpenGate
from app.limits import from_environ as limits  # limits
from app.wires.late import LateRouter

Environ = Mapping[str, str]


def _open(_environ: Environ) -> Gate:
    return OpenGate()


# The first one is used.
_GATES: Sequence[Callable[[Environ], Gate]] = [
    access,  # access
    _open,
]
_HOOKS: Sequence[Callable[[Environ], MakeHooks]] = [
    limits,  # limits
]

WIRES: Sequence[LateRouter] = [
    LateRouter("/ag-ui", "app.wires.ag_ui:router"),  # ag_ui
    LateRouter("/ai-sdk", "app.wires.ai_sdk:router"),  # ai_sdk
    LateRouter("/v1", "app.wires.openai:router"),  # openai_wire
]


def gate(environ: Environ) -> Gate:
    """The gate that the environment asks for; raises ValueError with the setting to fix."""
    return _GATES[0](environ)


def hooks(environ: Environ) -> Sequence[MakeHooks]:
    """All hooks that the environment asks for; raises ValueError with the setting to fix."""
    return [watching, *(make(environ) for make in _HOOKS)]
