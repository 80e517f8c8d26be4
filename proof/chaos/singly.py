"""One fault at a time, with right clocks: how long readers notice each, with no other trouble."""

from dataclasses import replace

from proof.chaos.deployment import TIMEOUT
from proof.chaos.faults import Fault
from proof.chaos.plan import TOKENS_PER_SECOND, AtByte, Plan, Way, draw, named

# As many as leave a machine of two cores idle at times.
AT_ONCE = 5

# Enough for a 99th percentile; but a hand-over takes as long as an invocation.
_OF_EACH = 100
_HAND_OVERS = 24
# Just long enough to be at work when it is disturbed, and to go on after that.
_SHORT = 60
# The answer alone outlives an invocation.
_LONG = round(TIMEOUT * TOKENS_PER_SECOND)


def plans() -> list[Plan]:
    """As many killed writers as cut connections, and fewer answers that are handed over."""
    nothing = replace(
        next(plan for plan in (draw(0, number) for number in range(1000)) if plan.undisturbed),
        way=Way.POST,
        shared=False,
        max_tokens=_SHORT,
        stepping=False,
    )
    killed = replace(nothing, kill_after_send=frozenset({6}))
    cut = replace(nothing, connections=((AtByte(Fault.CUT, 1500),),))
    handed_over = replace(nothing, max_tokens=_LONG)
    # The long ones first: the last to be played is a short one.
    kinds = [handed_over] * _HAND_OVERS + [killed, cut] * _OF_EACH
    return [
        replace(kind, number=number, prompt=f"{named(number)}one fault at a time")
        for number, kind in enumerate(kinds)
    ]
