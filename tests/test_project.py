"""The rules of the project itself: the direction of imports, and the contents of its files."""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
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
    "tools/locks/requirements-examples.txt",
    "tools/locks/requirements-peers.txt",
    "tools/locks/requirements-sam.txt",
)
CLIENTS = ROOT / "tools/locks/clients"
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

# A package, and the packages that it may not import: on any line, for types as well.
MAY_NOT_IMPORT = {
    "lambda_stream": ("app", "durable_stream", "local", "probe", "cost", "proof", "tests"),
    "durable_stream": ("app", "lambda_stream", "local", "probe", "cost", "proof", "tests"),
    "app": ("local", "probe", "cost", "proof", "tests"),
    "app.access": ("app.api", "app.limits", "app.models"),
    "app.limits": ("app.api", "app.access"),
    "app.models": ("app.api",),
    "local": ("app", "durable_stream", "lambda_stream", "proof", "tests"),
    "probe": ("app", "durable_stream", "lambda_stream", "proof", "tests"),
    "cost": ("app", "durable_stream", "lambda_stream", "proof", "tests"),
}
# A package that only these modules import, besides itself.
ONLY_IMPORTED_BY = {
    "app.access": "app.parts",
    "app.limits": "app.parts",
    "app.main": "",
    "lambda_stream": "app.main",
}
# A wire knows no other, and nothing knows a wire.
ONLY_IMPORTED_BY |= {
    f"app.wires.{folder.parent.name}": "app.parts"
    for folder in (ROOT / "src/app/wires").glob("*/__init__.py")
}
# The engine can be lifted out: these and the standard library are all that it imports.
THE_ENGINE_IMPORTS = {"botocore", "durable_stream"}

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

# Written so that this file passes its own test.
OUTSIDE = (r"\bfacts/|[(]facts:", r"\bDESIGN[.]md", r"[.][.]/shared\b")

PACKAGES = {
    "lambda_stream": ROOT / "src",
    "durable_stream": ROOT / "src",
    "app": ROOT / "src",
    "local": ROOT / "tools",
    "probe": ROOT / "tools",
    "cost": ROOT / "tools",
}
MODULES = {
    ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__"): path
    for package, base in PACKAGES.items()
    for path in sorted((base / package).rglob("*.py"))
}


def imports_of(module: str) -> set[str]:
    """The names that a module imports on any of its lines, in full."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def forbidden_to(module: str) -> Iterator[str]:
    for package, others in MAY_NOT_IMPORT.items():
        if within(module, package):
            yield from others
    for package, only in ONLY_IMPORTED_BY.items():
        if not within(module, package) and module != only:
            yield package


@pytest.mark.parametrize("module", MODULES)
def test_imports_follow_the_arrow(module: str) -> None:
    forbidden = set(forbidden_to(module))

    against = {name for name in imports_of(module) for other in forbidden if within(name, other)}

    assert against == set()


@pytest.mark.parametrize("module", [each for each in MODULES if within(each, "durable_stream")])
def test_the_engine_imports_the_standard_library_and_botocore_at_most(module: str) -> None:
    imported = {name.partition(".")[0] for name in imports_of(module)}

    assert imported <= THE_ENGINE_IMPORTS | sys.stdlib_module_names


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_itself_through_others(package: str) -> None:
    """Imports for types count as well."""
    modules = [each for each in MODULES if within(each, package)]
    imports = {
        module: {_module(name) for name in imports_of(module) if within(name, package)} - {module}
        for module in modules
    }

    TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle


def _module(name: str) -> str:
    """The module that an imported name is, or is in."""
    return name if name in MODULES else name.rpartition(".")[0]


def git(*arguments: str) -> str:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs a git checkout")
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_bootstrap_is_executable_in_git() -> None:
    """Lambda exits with 126 if it is not, and neither zip nor SAM would mend it."""
    assert git("ls-files", "--stage", "src/bootstrap").startswith("100755 ")


def test_no_file_names_a_package_registry() -> None:
    """The source of packages is the user's setting, in files as in locks."""
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


def test_the_lock_of_the_clients_pins_each_with_a_hash_and_no_address() -> None:
    """And runs nothing at installation: only locked packages come."""
    asked = json.loads((CLIENTS / "package.json").read_text())
    [own, *packages] = json.loads((CLIENTS / "package-lock.json").read_text())["packages"].values()

    groups = ("dependencies", "optionalDependencies")
    assert {name: own[name] for name in groups} == {name: asked[name] for name in groups}
    for version in (version for name in groups for version in asked[name].values()):
        assert re.fullmatch(r"[0-9.]+", version)
    for package in packages:
        assert package["integrity"].startswith("sha512-")
        assert package.keys().isdisjoint({"resolved", "hasInstallScript"})


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
    makefiles = (ROOT / "Makefile", *ROOT.glob("proof/*.mk"))
    texts = [each.read_text().replace("\\\n", " ") for each in makefiles]
    phony = [re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE) for text in texts]

    shown = subprocess.run(
        ["make", "-C", str(ROOT), "--no-print-directory", "help"],
        check=True,
        capture_output=True,
        text=True,
    )

    targets = [target for [line] in phony for target in line.split()]
    assert re.findall(r"^  make ([a-z-]+)", shown.stdout, re.MULTILINE) == targets


def test_no_file_points_to_one_that_a_clone_does_not_have() -> None:
    """Only .ci/run may look for a program outside, and goes on without it."""
    pointing = [
        (name, outside)
        for name in git("ls-files", "-z").split("\0")
        if (ROOT / name).is_file() and name != ".ci/run"
        for outside in OUTSIDE
        if re.search(outside, (ROOT / name).read_text(errors="replace"))
    ]

    assert pointing == []


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_an_event_is_what_the_source_in_its_name_sends(path: Path) -> None:
    event = json.loads(path.read_text())

    knows = [
        handler
        for handler in (ALB, APIGateway, HTTPGateway)
        if handler.infer(event, cast("LambdaContext", None), MANGUM_DEFAULTS)
    ]

    assert knows == [EVENT_SOURCES[path.stem.rpartition("-")[0]]]
