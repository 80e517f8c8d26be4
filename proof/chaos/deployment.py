"""The functions that are disturbed: the application in the emulator's sandboxes, real processes."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import local
from local.log import Log
from proof.chaos.generations import Generations
from proof.chaos.plan import LONGEST, TOKENS_PER_SECOND

SOURCE = Path(__file__).parents[2] / "src"
# 30 s apart: no clock is trusted for safety.
CLOCK_OFFSETS = (0.0, -15.0, 15.0)
# Of both functions. Short, so that the longest answers are handed over; yet a frozen sandbox must
# live in it until its stream is taken over (`store.TAKE_OVER_SECONDS`, which few need whole).
TIMEOUT = 20.0
# Of the function whose sandboxes take many invocations (Lambda Managed Instances).
SHARED_CONCURRENCY = 16
_MOST_SANDBOXES = 500


@asynccontextmanager
async def functions_of(
    source: Path,
    dynamodb_url: str,
    generations: Generations,
    clock_offsets: Sequence[float],
    logs: tuple[Log, Log],
) -> AsyncIterator[list[local.Running]]:
    """A function as it is deployed, and one whose sandboxes take many invocations at once.

    Both serve the same table, as two versions do while a deployment rolls. `logs` take the lines
    that the sandboxes of each print.
    """
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                function_of(
                    source,
                    dynamodb_url,
                    generations,
                    concurrency=concurrency,
                    timeout=TIMEOUT,
                    clock_offsets=clock_offsets,
                    log=log,
                )
            )
            for concurrency, log in zip((1, SHARED_CONCURRENCY), logs, strict=True)
        ]


@asynccontextmanager
async def function_of(
    source: Path,
    dynamodb_url: str,
    generations: Generations,
    *,
    concurrency: int,
    timeout: float = 900.0,  # noqa: ASYNC109 - the function's, not ours
    clock_offsets: Sequence[float] = (0.0,),
    log: Log | None = None,
) -> AsyncIterator[local.Running]:
    """One function with the code in `source`, and the harness's handler around it.

    `log` takes the lines that its sandboxes print.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("bootstrap", "lambda_stream", "durable_stream", "app"):
            (root / name).symlink_to(source / name)
        (root / "function.py").symlink_to(Path(__file__).with_name("function.py"))
        (root / "proof").symlink_to(Path(__file__).parents[1])
        options = local.Options(
            port=0,
            task_root=root,
            handler="function.handler",
            provider="demo",
            dynamodb_url=dynamodb_url,
            sandboxes=_MOST_SANDBOXES,
            concurrency=concurrency,
            timeout=timeout,
            clock_offsets=clock_offsets,
            env={
                "GENERATIONS": generations.address,
                "DEMO_TOKENS": str(LONGEST),
                "DEMO_TOKENS_PER_SECOND": str(TOKENS_PER_SECOND),
                "DEMO_FIRST_TOKEN_MS": "100",
                "POWERTOOLS_LOG_LEVEL": "ERROR",
                "AWS_LAMBDA_LOG_LEVEL": "ERROR",
                "AWS_LAMBDA_LOG_FORMAT": "JSON",
            },
        )
        async with local.serve(options, log or _quiet) as running:
            yield running


def _quiet(line: str) -> None:
    """Discard the lines of undisturbed sandboxes."""
