"""What a person may choose about the emulator."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


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
    provider: str = "auto"
    handler: str = "app.main.handler"
    task_root: Path = PROJECT / "src"
    template: Path = PROJECT / "template.yaml"
    dynamodb_url: str | None = None
    # How wrong the sandboxes' clocks are, in seconds, in turn. The emulator tells each by
    # LOCAL_CLOCK_OFFSET, and its deadlines by that clock; the function has to do the rest.
    clock_offsets: Sequence[float] = (0.0,)
    env: Mapping[str, str] = field(default_factory=dict)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; an error there ends the process with a usage message."""
    values = vars(_parser().parse_args(arguments))
    return Options(**{**values, "env": dict(values["env"])})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local",
        description="A Lambda function URL on this machine that streams.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for name, kind, metavar, explanation in SETTINGS:
        default = getattr(Options, name)
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, metavar=metavar, default=default, help=explanation)
    parser.add_argument(
        "--env",
        type=assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable for the function, besides its provider's; may be repeated",
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def assignment(text: str) -> tuple[str, str]:
    """A NAME=VALUE of the command line."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


SETTINGS: tuple[tuple[str, Callable[[str], object], str, str], ...] = (
    ("port", int, "PORT", "where to listen; 0 picks any free port"),
    ("host", str, "ADDRESS", "address to listen on"),
    ("sandboxes", _positive, "N", "sandboxes at work at once; beyond them requests get a 429"),
    ("concurrency", _positive, "N", "invocations at once in one (AWS_LAMBDA_MAX_CONCURRENCY)"),
    ("timeout", float, "SECONDS", "after which an invocation's sandbox is killed"),
    ("memory", _positive, "MB", "the function's memory; only reported"),
    ("keep_warm", float, "SECONDS", "how long a sandbox may idle before it is shut down"),
    ("provider", str, "NAME", "auto, or one of docs/models.md: where tokens come from"),
    ("handler", str, "MODULE.NAME", "what the function runs"),
    ("task_root", Path, "FOLDER", "what would be deployed"),
    ("template", Path, "FILE", "where the table StreamTable is described"),
    ("dynamodb_url", str, "URL", "use this DynamoDB instead of starting moto's"),
)
