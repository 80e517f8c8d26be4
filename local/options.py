"""What a person may choose about the emulator."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Options:
    """The emulator's settings, in the words of its command line."""

    host: str = "127.0.0.1"
    port: int = 3000
    sandboxes: int = 20
    concurrency: int = 1
    timeout: float = 900.0
    memory: int = 512
    keep_warm: float = 600.0
    provider: str = "demo"
    handler: str = "app.main.handler"
    task_root: Path = PROJECT / "src"
    template: Path = PROJECT / "template.yaml"
    dynamodb_url: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; an error there ends the process with a usage message."""
    values = vars(_parser().parse_args(arguments))
    return Options(**{**values, "env": dict(values["env"])})


def _parser() -> argparse.ArgumentParser:
    default = Options()
    parser = argparse.ArgumentParser(
        prog="python -m local",
        description="A Lambda function URL on this machine that streams.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )

    listening = parser.add_argument_group("where it listens")
    listening.add_argument("--port", type=int, default=default.port, help="0 picks any free port")
    listening.add_argument("--host", default=default.host, help="address to listen on")

    limits = parser.add_argument_group("limits of the function")
    limits.add_argument(
        "--sandboxes",
        type=_positive,
        default=default.sandboxes,
        metavar="N",
        help="sandboxes at work at once; beyond them requests are answered 429",
    )
    limits.add_argument(
        "--concurrency",
        type=_positive,
        default=default.concurrency,
        metavar="N",
        help="invocations at once in one sandbox (AWS_LAMBDA_MAX_CONCURRENCY)",
    )
    limits.add_argument(
        "--timeout",
        type=float,
        default=default.timeout,
        metavar="SECONDS",
        help="after which an invocation's sandbox is killed",
    )
    limits.add_argument(
        "--memory", type=_positive, default=default.memory, metavar="MB", help="only reported"
    )
    limits.add_argument(
        "--keep-warm",
        type=float,
        default=default.keep_warm,
        metavar="SECONDS",
        help="how long a sandbox may idle before it is shut down",
    )

    function = parser.add_argument_group("the function")
    function.add_argument("--provider", default=default.provider, help="where tokens come from")
    function.add_argument("--handler", default=default.handler, help="module.attribute to run")
    function.add_argument(
        "--task-root", type=Path, default=default.task_root, help="folder that would be deployed"
    )
    function.add_argument(
        "--env",
        type=_assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable for the function, besides DEMO_* of this shell; may be repeated",
    )

    table = parser.add_argument_group("the table")
    table.add_argument(
        "--dynamodb-url", metavar="URL", help="use this DynamoDB instead of starting moto's"
    )
    table.add_argument(
        "--template", type=Path, default=default.template, help="where StreamTable is described"
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value
