"""The process that `AWS_LAMBDA_EXEC_WRAPPER` starts in place of the stock runtime.

Start-up allocates a hundred thousand objects that live as long as the process. The garbage
collector is off meanwhile, which saves a twentieth of a cold start. Then `gc.freeze` hides these
objects from it, because a full collection would walk them all and pause every response.
"""

import asyncio
import gc
import os

gc.disable()

from lambda_stream import log, loop, snapshot  # noqa: E402
from lambda_stream.handler import resolve  # noqa: E402


def main() -> None:
    """Serve the handler that `_HANDLER` names until Lambda ends this sandbox."""
    log.configure(os.environ)
    with_snapshot = snapshot.is_taken(os.environ)
    with asyncio.Runner() as runner:
        handler = runner.run(_initialise(start=not with_snapshot))
        if with_snapshot:
            # Hidden from the collector they stay in the snapshot: a restored page costs time.
            gc.freeze()
            snapshot.pass_through(runner, handler)
        gc.freeze()
        gc.enable()
        runner.run(_serve(handler))


async def _initialise(*, start: bool) -> loop.Handler:
    address = os.environ["AWS_LAMBDA_RUNTIME_API"]
    return await loop.initialise(lambda: resolve(os.environ["_HANDLER"]), address, start=start)


async def _serve(handler: loop.Handler) -> None:
    concurrency = int(os.environ.get("AWS_LAMBDA_MAX_CONCURRENCY") or 1)
    await loop.serve(handler, os.environ["AWS_LAMBDA_RUNTIME_API"], concurrency)


if __name__ == "__main__":
    main()
