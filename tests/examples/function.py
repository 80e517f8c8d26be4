"""The function that the examples' tests run: the application, quicker to give a writer up.

It tells the ledger which process begins an attempt, so that a test can kill that one, and which
steps have been at work.
"""

import os
import pkgutil
from dataclasses import replace

from app import models, parts
from app.agents import Agents
from app.application import create_app
from app.settings import Settings
from durable_stream import Clock, Hooks, Task, Timing
from durable_stream.table import Table
from lambda_stream import Adapter
from tests.examples import ledger
from tests.examples.ledgered import ledgered

LEASE = 1.2


class NotingAttempts(Hooks):
    """Notes each attempt that begins in this process."""

    def attempting(self, task: Task) -> None:
        ledger.note_attempt(task.stream_id, task.attempt)


def _noting(_table: Table, _timing: Timing, _clock: Clock) -> Hooks:
    return NotingAttempts()


settings = Settings.from_environ(os.environ)
settings = replace(
    settings,
    timing=replace(settings.timing, lease=LEASE, heartbeat=LEASE / 4, listening=LEASE),
)
agents = Agents(pkgutil.resolve_name(f"{os.environ['AGENTS']}:AGENTS"))
handler = Adapter(
    create_app(
        settings,
        models.create(settings.provider, os.environ),
        agents=[ledgered(agent) for agent in agents.by_name.values()],
        gate=parts.gate(os.environ),
        hooks=[*parts.hooks(os.environ), _noting],
    )
)
