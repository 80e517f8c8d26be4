"""The emulator's settings and its command line."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The emulator's settings; each is a flag of the command line, but for `clock_offsets`."""

    host: str = "127.0.0.1"
    port: int = 3000
    sandboxes: int = 20
    concurrency: int = 1
    timeout: float = 900.0
    memory: int = 512
    keep_warm: float = 600.0
    snapstart: bool = False
    provider: str = "auto"
    agent: str = ""
    handler: str = "app.main.handler"
    task_root: Path = PROJECT / "src"
    template: Path = PROJECT / "template.yaml"
    dynamodb_url: str | None = None
    # The clock errors of the sandboxes in seconds, assigned in turn. The emulator sets
    # LOCAL_CLOCK_OFFSET and shifts deadlines; the function must apply the offset to its own clock.
    clock_offsets: Sequence[float] = (0.0,)
    env: Mapping[str, str] = field(default_factory=dict)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Parse the command line; an error ends the process with a usage message."""
    parser = _parser()
    values = vars(parser.parse_args(arguments))
    if values["snapstart"] and values["concurrency"] > 1:
        parser.error("--snapstart and --concurrency exclude each other, as they do on Lambda")
    return Options(**{**values, "env": dict(values["env"])})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local",
        description="Run the function behind a streaming function URL on this machine.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for name, kind, metavar, explanation in SETTINGS:
        default = getattr(Options, name)
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, metavar=metavar, default=default, help=explanation)
    parser.add_argument(
        "--snapstart", action="store_true", help="restore sandboxes from a snapshot of the first"
    )
    parser.add_argument(
        "--env",
        type=assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an environment variable for the function; may be repeated",
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def assignment(text: str) -> tuple[str, str]:
    """Parse NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


SETTINGS: tuple[tuple[str, Callable[[str], object], str, str], ...] = (
    ("port", int, "PORT", "port to listen on; 0 picks any free one"),
    ("host", str, "ADDRESS", "address to listen on"),
    ("sandboxes", _positive, "N", "limit of busy sandboxes; beyond it requests get a 429"),
    ("concurrency", _positive, "N", "invocations per sandbox (AWS_LAMBDA_MAX_CONCURRENCY)"),
    ("timeout", float, "SECONDS", "time limit of an invocation"),
    ("memory", _positive, "MB", "the function's memory; reported, not enforced"),
    ("keep_warm", float, "SECONDS", "idle time after which a sandbox is shut down"),
    ("provider", str, "NAME", "auto, or one of docs/models.md: where tokens come from"),
    ("agent", str, "MODULE", "a module with AGENTS, such as examples.plain, for app.agent"),
    ("handler", str, "MODULE.NAME", "the function's handler"),
    ("task_root", Path, "FOLDER", "the folder of the function's code"),
    ("template", Path, "FILE", "the template that describes the table StreamTable"),
    ("dynamodb_url", str, "URL", "a DynamoDB to use instead of moto's"),
)
