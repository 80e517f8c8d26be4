"""`python -m local`: run the emulator until Ctrl-C or SIGTERM."""

import asyncio
import signal
import sys

from local.emulator import Running, serve
from local.exceptions import CannotStart, SettingRefused
from local.log import BufferedLog, terminal
from local.options import Options, parse


def main() -> int:
    """Run, and return the exit status."""
    options, log = parse(), BufferedLog(terminal)
    try:
        asyncio.run(run(options, log))
    except CannotStart as error:
        if not isinstance(error, SettingRefused):
            log.release()
        print(f"python -m local: {error}", file=sys.stderr)
        return 1
    return 0


async def run(options: Options, log: BufferedLog) -> None:
    """Run until a signal; log lines are printed after the summary."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(options, log) as running:
        await running.warm_up()
        print(summary(options, running), flush=True)
        log.release()
        await stop.wait()


def summary(options: Options, running: Running) -> str:
    """Return the settings and addresses, one a line, its name in front."""
    dynamodb = "given" if options.dynamodb_url else "moto, in memory"
    snapshot = ", restored from a snapshot" if options.snapstart else ""
    return "\n".join(
        (
            f"page       {running.url}/",
            f"control    {running.control_url}",
            f"dynamodb   {running.dynamodb_url} ({dynamodb}), table {running.table_name}",
            f"function   {options.handler} in {options.task_root}{snapshot}",
            f"provider   {running.provider}",
            f"limits     {options.sandboxes} x {options.concurrency} at once, {options.timeout} s",
            "Ctrl-C stops everything.",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
