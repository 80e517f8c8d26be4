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
    """Read the command line: our options, and the flags that are SAM CLI's."""
    parser = argparse.ArgumentParser(
        prog="python -m local.sam",
        description="The function under `sam local start-api`, with its table on this machine.",
        epilog="Every other flag is start-api's, such as --port 3001 or --skip-pull-image.",
        allow_abbrev=False,
    )
    parser.add_argument("--provider", default="demo", help="where the tokens come from")
    parser.add_argument(
        "--env",
        type=assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable for the function, besides its provider's; may be repeated",
    )
    values, flags = parser.parse_known_args(arguments)
    return Options(provider=values.provider, env=dict(values.env)), flags


async def run(options: Options, flags: Sequence[str]) -> None:
    """Run until a signal asks for the end."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with serve(options, flags) as running:
        print(summary(running), flush=True)
        await running.ended
    raise CannotStart("`sam local start-api` has ended; what it said is above")


def summary(running: Running) -> str:
    """What runs and where, one fact a line, its name in front."""
    return "\n".join(
        (
            f"page       {running.url}/",
            f"dynamodb   {running.dynamodb_url} (moto, in memory), table {running.table_name}",
            f"provider   {running.provider}",
            "Ctrl-C stops everything.",
        )
    )


def main() -> int:
    """Run, and give the process's exit status."""
    options, flags = parse()
    try:
        asyncio.run(run(options, flags))
    except CannotStart as error:
        print(f"python -m local.sam: {error}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        pass  # A signal asked for the end.
    return 0


if __name__ == "__main__":
    sys.exit(main())
