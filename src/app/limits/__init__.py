"""Limits: requests and connects a minute, tokens a day. Optional: no other folder knows them."""

from collections.abc import Callable, Mapping

from app.limits.accounts import Accounts
from app.limits.budget import Budget
from app.limits.connects import Connects
from app.limits.counters import Counters
from app.limits.settings import Limits
from durable_stream import AllHooks, Clock, Hooks, Timing
from durable_stream.table import Table


def from_environ(environ: Mapping[str, str]) -> Callable[[Table, Timing, Clock], Hooks]:
    """Hooks that keep the limits of the environment; raises ValueError with the setting to fix."""
    limits = Limits.from_environ(environ)

    def hooks(table: Table, timing: Timing, clock: Clock) -> Hooks:
        counters = Counters(table)
        accounts = Accounts(Budget(counters, limits), timing.create_patience)
        return AllHooks([accounts, Connects(counters, limits, clock)])

    return hooks
