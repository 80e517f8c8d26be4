"""The rules of the project itself: which way imports point, and what its files may hold."""

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from mangum.handlers import ALB, APIGateway, HTTPGateway

if TYPE_CHECKING:
    from mangum.types import LambdaConfig, LambdaContext

ROOT = Path(__file__).parents[1]
LOCKS = (
    "src/requirements.txt",
    "tools/locks/requirements-dev.txt",
    "tools/locks/requirements-peers.txt",
    "tools/locks/requirements-sam.txt",
)
EVENTS = sorted(ROOT.glob("events/*.json"))
EVENT_SOURCES = {
    "alb": ALB,
    "function-url": HTTPGateway,
    "http-api": HTTPGateway,
    "rest": APIGateway,
}
MANGUM_DEFAULTS: "LambdaConfig" = {
    "api_gateway_base_path": "/",
    "text_mime_types": [],
    "exclude_headers": [],
}

# DESIGN.md, "One direction": what a package may not import, on any line, for types or for real.
MAY_NOT_IMPORT = {
    "lambda_stream": ("app", "local", "tests"),
    "app": ("local", "tests"),
    "app.access": ("app.main", "app.api", "app.generation", "app.event_log", "app.models"),
    "app.event_log": ("app.main", "app.api", "app.generation", "app.models"),
    "app.limits": ("app.main", "app.api", "app.generation", "app.event_log"),
    "app.models": ("app.main", "app.api", "app.generation", "app.event_log"),
    "app.generation": ("app.main", "app.api"),
    "app.api": ("app.main",),
    "local": ("app", "lambda_stream", "tests"),
}
# It makes the Lambda handler, so it is the one place of the application that knows the runtime.
KNOWS_THE_RUNTIME = "app.main"

# In two parts, so that this file passes its own test.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("debian", "org"),
    )
)

MODULES = {
    ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__"): path
    for base, package in (
        (ROOT / "src", "lambda_stream"),
        (ROOT / "src", "app"),
        (ROOT, "local"),
    )
    for path in sorted((base / package).rglob("*.py"))
}


def imports_of(nodes: Iterator[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def forbidden_to(module: str) -> Iterator[str]:
    for package, others in MAY_NOT_IMPORT.items():
        if within(module, package):
            yield from others
    if within(module, "app") and module != KNOWS_THE_RUNTIME:
        yield "lambda_stream"


@pytest.mark.parametrize("module", MODULES)
def test_imports_follow_the_arrow(module: str) -> None:
    imported = set(imports_of(ast.walk(ast.parse(MODULES[module].read_text()))))

    against = {name for name in imported for other in forbidden_to(module) if within(name, other)}

    assert against == set()


def git(*arguments: str) -> str:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs a git checkout")
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_bootstrap_is_executable_in_git() -> None:
    """Lambda exits with 126 if it is not, and neither zip nor SAM would mend it."""
    assert git("ls-files", "--stage", "src/bootstrap").startswith("100755 ")


def test_no_file_names_a_package_registry() -> None:
    """Where packages come from is the user's setting, in files as in locks."""
    naming = [
        (name, registry)
        for name in git("ls-files", "-z").split("\0")
        if (ROOT / name).is_file()
        for registry in REGISTRIES
        if registry in (ROOT / name).read_text(errors="replace")
    ]

    assert naming == []


def pins_of(lock: str) -> dict[str, str]:
    """Each requirement of a lock, with the lines that belong to it."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / lock).read_text(), flags=re.MULTILINE)
    requirements = text.replace("\\\n", " ").splitlines()
    return {re.split(r"[\[=]", line)[0]: line for line in requirements}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_requirement_with_hashes_and_no_address(lock: str) -> None:
    for requirement in pins_of(lock).values():
        assert re.fullmatch(
            r"\S+(, \S+)*==\S+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+", requirement
        )
    assert "://" not in (ROOT / lock).read_text()


def test_tests_run_on_the_versions_that_are_deployed() -> None:
    deployed, developed = (
        pins_of("src/requirements.txt"),
        pins_of("tools/locks/requirements-dev.txt"),
    )

    assert deployed.items() <= developed.items()


def test_lambda_brings_boto() -> None:
    """A copy of our own would be the largest part of the package, and slow every cold start."""
    assert pins_of("src/requirements.txt").keys().isdisjoint({"boto3", "botocore"})


def test_make_help_names_every_target() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony

    shown = subprocess.run(
        ["make", "-C", str(ROOT), "--no-print-directory", "help"],
        check=True,
        capture_output=True,
        text=True,
    )

    assert re.findall(r"^  make ([a-z-]+)", shown.stdout, re.MULTILINE) == phony[1].split()


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_an_event_is_what_the_source_in_its_name_sends(path: Path) -> None:
    event = json.loads(path.read_text())

    knows = [
        handler
        for handler in (ALB, APIGateway, HTTPGateway)
        if handler.infer(event, cast("LambdaContext", None), MANGUM_DEFAULTS)
    ]

    assert knows == [EVENT_SOURCES[path.stem.rpartition("-")[0]]]
