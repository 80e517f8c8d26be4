"""One fault at a time, clocks right: how long each is noticed, where nothing else is in the way."""

from dataclasses import replace

from chaos.faults import Fault
from chaos.plan import AtByte, Plan, Way, draw, named

_OF_EACH = 20
# Long enough to outlive an invocation of the harness's functions.
_LONG = 1800


def plans() -> list[Plan]:
    """As many killed writers as cut connections, and as answers that are handed over."""
    nothing = replace(
        next(plan for plan in (draw(0, number) for number in range(1000)) if plan.undisturbed),
        way=Way.POST,
        shared=False,
        max_tokens=120,
    )
    kinds = (
        replace(nothing, kill_after_send=frozenset({12})),
        replace(nothing, connections=(AtByte(Fault.CUT, 2500),)),
        replace(nothing, max_tokens=_LONG),
    )
    return [
        replace(kind, number=number, prompt=f"{named(number)}one fault at a time")
        for number, kind in enumerate(kinds * _OF_EACH)
    ]
