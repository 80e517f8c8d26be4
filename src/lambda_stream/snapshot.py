"""SnapStart: from the end of the initialisation to the start of each sandbox.

Lambda initialises one process, takes a snapshot of it, and starts sandboxes as copies: they have
the same memory, and none of its connections. So the handler is imported before the snapshot and
starts after the restore. There an ASGI application makes in its lifespan what one sandbox owns.

    import of the handler, `prepare`    once for all sandboxes
    before-hooks, the last first        as in the stock runtime
    GET /restore/next                   the snapshot is taken while this waits
    random generators are seeded anew   every sandbox has had the same state
    after-hooks, the first first        as in the stock runtime
    `startup` of the handler            in each sandbox
    GET /invocation/next                as without a snapshot

Hooks are functions that an application registers with `snapshot_restore_py`, a package of Lambda's
Python runtimes. They run while no event loop runs, as in the stock runtime (awslambdaric
`bootstrap.on_init_complete`), so that they may run one. Lambda gives the hooks after the restore
and `startup` ten seconds.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from lambda_stream import loop
from lambda_stream.client import RuntimeClient
from lambda_stream.handler import StreamingHandler

_Hook: TypeAlias = tuple[Callable[..., object], tuple[Any, ...], Mapping[str, Any]]

BEFORE_SNAPSHOT_ERROR = "Runtime.BeforeSnapshotError"
AFTER_RESTORE_ERROR = "Runtime.AfterRestoreError"
BEFORE_SNAPSHOT_EXIT = 64
AFTER_RESTORE_EXIT = 65

_SEED_BYTES = 32


def is_taken(environ: Mapping[str, str]) -> bool:
    """Return True if Lambda takes a snapshot of this process once it is initialised."""
    return environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"


def pass_through(runner: asyncio.Runner, handler: loop.Handler) -> None:
    """Go through the snapshot and the restore, up to the handler's startup.

    Reports a failure and raises SystemExit.
    """
    try:
        _run_before_hooks()
        runner.run(_wait_for_restore())
    except (Exception, SystemExit) as error:
        send = RuntimeClient(_address()).init_error
        runner.run(loop.report_failure(error, send, BEFORE_SNAPSHOT_ERROR))
        raise SystemExit(BEFORE_SNAPSHOT_EXIT) from error
    try:
        _seed_generators()
        _run_after_hooks()
        if isinstance(handler, StreamingHandler):
            runner.run(handler.startup())
    except (Exception, SystemExit) as error:
        send = RuntimeClient(_address()).restore_error
        runner.run(loop.report_failure(error, send, AFTER_RESTORE_ERROR))
        raise SystemExit(AFTER_RESTORE_EXIT) from error


def _address() -> str:
    return os.environ["AWS_LAMBDA_RUNTIME_API"]


async def _wait_for_restore() -> None:
    """Wait, over the snapshot, until this process is a restored sandbox.

    The connection is closed afterwards: its other end is not the one that it had.
    """
    client = RuntimeClient(_address())
    try:
        await client.restore_next()
    finally:
        client.close()


def _seed_generators() -> None:
    """Give the random generators of this sandbox states of their own.

    From `random` jitter is drawn, and from OpenSSL's the keys of TLS: a context that was made
    before the snapshot has started that one. The operating system's randomness (`secrets`,
    `uuid4`) differs in every sandbox already.
    """
    import random

    random.seed()
    if "ssl" in sys.modules:
        import ssl

        ssl.RAND_add(os.urandom(_SEED_BYTES), _SEED_BYTES)


def _run_before_hooks() -> None:
    """Run the hooks in the reverse order of their registration; a hook may add another."""
    hooks = _registered("get_before_snapshot")
    while hooks:
        hook, positional, named = hooks.pop()
        hook(*positional, **named)


def _run_after_hooks() -> None:
    for hook, positional, named in _registered("get_after_restore"):
        hook(*positional, **named)


def _registered(getter: str) -> list[_Hook]:
    """Return the registry of hooks; where nobody has imported the package, there are none."""
    package = sys.modules.get("snapshot_restore_py")
    hooks: list[_Hook] = [] if package is None else getattr(package, getter)()
    return hooks
