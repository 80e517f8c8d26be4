"""The process that `AWS_LAMBDA_EXEC_WRAPPER` starts in place of the stock runtime.

Start-up allocates a hundred thousand objects that live as long as the process. The garbage
collector is off meanwhile, which saves a twentieth of a cold start. Then `gc.freeze` hides these
objects from it, because a full collection would walk them all and pause every response.
"""

import asyncio
import gc
import os

gc.disable()

from lambda_stream import log, loop  # noqa: E402
from lambda_stream.handler import resolve  # noqa: E402


def main() -> None:
    """Serve the handler that `_HANDLER` names until Lambda ends this sandbox."""
    log.configure(os.environ)
    asyncio.run(_live(os.environ["AWS_LAMBDA_RUNTIME_API"]))


async def _live(address: str) -> None:
    handler = await loop.initialise(lambda: resolve(os.environ["_HANDLER"]), address)
    gc.freeze()
    gc.enable()
    concurrency = int(os.environ.get("AWS_LAMBDA_MAX_CONCURRENCY") or 1)
    await loop.serve(handler, address, concurrency)


if __name__ == "__main__":
    main()
