"""`python -m probe URL`: measures whether the path from a deployment to here streams.

It requests one long and one short answer of the model, and takes about as long as these. Parts of
the path may hold small pieces of a response back. No document says which parts do, so the probe
measures it. The exit status is 0 if nothing needs to be changed.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from probe.connection import Site, connect
from probe.deployment import Deployment
from probe.exceptions import ProbeFailed
from probe.measurements import Measurements
from probe.runner import measure
from probe.table import render
from probe.verdict import judge

_PROMPT = "Count from one to three hundred in words, separated by commas. Leave nothing out."


def main(arguments: Sequence[str] | None = None) -> int:
    """Probe, print the result, and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        deployment = Deployment(
            site=Site.parse(options.url),
            token=options.token or os.environ.get("API_TOKEN") or None,
            prompt=options.prompt,
            patience=options.patience,
        )
        measurements = asyncio.run(_probe(deployment, options.max_tokens))
    except ProbeFailed as error:
        print(f"python -m probe: {error}", file=sys.stderr)
        return 1
    verdict = judge(measurements)
    print(render(measurements), *verdict.sentences, sep="\n\n")
    return 0 if verdict.good else 1


async def _probe(deployment: Deployment, max_tokens: int) -> Measurements:
    async with connect(deployment.site) as connection:
        health = await deployment.health(connection)
    site = f"{deployment.site.authority}{deployment.site.base}"
    print(f"{site}: provider {health.provider}, access {health.access}\n", flush=True)
    return await measure(deployment, max_tokens=max_tokens)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m probe",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("url", metavar="URL", help="the function URL, or an API's URL with stage")
    parser.add_argument("--token", help="an API token; prefer API_TOKEN in the environment")
    parser.add_argument("--max-tokens", type=int, default=1000, help="limit of the long answer")
    parser.add_argument("--prompt", default=_PROMPT, help="prompt of the long answer")
    parser.add_argument(
        "--patience",
        type=float,
        default=15.0,
        metavar="SECONDS",
        help="time limit of a short response",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
