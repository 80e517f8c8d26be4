"""`python -m local.sam`: run `sam local start-api` until Ctrl-C or SIGTERM."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from local.exceptions import CannotStart
from local.options import Options, assignment
from local.start_api import Running, serve


def parse(arguments: Sequence[str] | None = None) -> tuple[Options, list[str]]:
    """Parse the command line: our options, and the flags for SAM CLI."""
    parser = argparse.ArgumentParser(
        prog="python -m local.sam",
        description="Run the function under `sam local start-api`, with a table on this machine.",
        epilog="Other flags are passed to start-api, such as --port 3001 or --skip-pull-image.",
        allow_abbrev=False,
    )
    parser.add_argument("--provider", default="demo", help="where the tokens come from")
    parser.add_argument(
        "--env",
        type=assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an environment variable for the function; may be repeated",
    )
    values, flags = parser.parse_known_args(arguments)
    return Options(provider=values.provider, env=dict(values.env)), flags


async def run(options: Options, flags: Sequence[str]) -> None:
    """Run until a signal."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with serve(options, flags) as running:
        print(summary(running), flush=True)
        await running.ended
    raise CannotStart("`sam local start-api` has ended: see its output above")


def summary(running: Running) -> str:
    """Return the settings and addresses, one a line, its name in front."""
    return "\n".join(
        (
            f"page       {running.url}/",
            f"dynamodb   {running.dynamodb_url} (moto, in memory), table {running.table_name}",
            f"provider   {running.provider}",
            "Ctrl-C stops everything.",
        )
    )


def main() -> int:
    """Run, and return the exit status."""
    options, flags = parse()
    try:
        asyncio.run(run(options, flags))
    except CannotStart as error:
        print(f"python -m local.sam: {error}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        pass  # The signal handler cancelled `run`.
    return 0


if __name__ == "__main__":
    sys.exit(main())
