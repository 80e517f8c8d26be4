"""The process that `AWS_LAMBDA_EXEC_WRAPPER` starts in place of the stock runtime.

Imports make a great many objects that live for ever. The garbage collector is off while they are
made, and afterwards they are frozen out of its sight: it would walk them again and again, at a
tenth of the time that a cold start takes (`make bench`).
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
    concurrency = int(os.environ.get("AWS_LAMBDA_MAX_CONCURRENCY") or 1)
    asyncio.run(loop.run(_load, os.environ["AWS_LAMBDA_RUNTIME_API"], concurrency))


def _load() -> loop.Handler:
    handler = resolve(os.environ["_HANDLER"])
    gc.freeze()
    gc.enable()
    return handler


if __name__ == "__main__":
    main()
