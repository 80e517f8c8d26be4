"""Delete each optional part in a copy of the repository, and check and test the copy.

A part is a few files and folders, the lines that end in `# <part>`, and the blocks of lines from
`# <part>: begin` to `# <part>: end`. In Markdown these marks are HTML comments. A provider has an
entry in `app.providers` as well. To remove a part by hand, delete these and run `make format`,
which removes imports that nothing uses any more. This does the same. The environments are linked
into the copy, so nothing is installed again.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = (
    ".venv",
    ".venv-sam",
    ".venv-peers",
    ".dynamodb-local",
    ".clients",
    ".javascript",
)
MARKED_FILES = frozenset({".md", ".py", ".toml", ".yaml"})

QUICK = "--numprocesses logical -m 'not prove'"
OF_THE_PROJECT = f"{QUICK} tests/app/test_docs.py tests/test_project.py"
OF_THE_MODELS = (
    f"{OF_THE_PROJECT} tests/test_template.py tests/app/models tests/local/test_providers.py"
)
OF_THE_APPLICATION = (
    f"{QUICK} tests/app --ignore tests/app/models tests/flows tests/wires tests/cost "
    "tests/local/test_command_line.py tests/test_*.py"
)
PROVIDERS = "src/app/providers.py"


@dataclass(frozen=True, slots=True)
class Part:
    """An optional part: the patterns of its paths, and the tests that its deletion could break.

    Types and lint are checked in the whole copy. `entry_of` is the file with the part's `Entry`.
    """

    name: str
    paths: tuple[str, ...]
    tests: str = ""
    entry_of: str = ""


PARTS = (
    Part("limits", ("src/app/limits", "tests/**/limits"), OF_THE_APPLICATION),
    Part("access", ("src/app/access", "tests/**/access"), OF_THE_APPLICATION),
    Part("bedrock", ("src/app/models/bedrock", "tests/**/bedrock"), OF_THE_MODELS, PROVIDERS),
    Part("openai", ("src/app/models/openai.py", "tests/**/openai"), OF_THE_MODELS, PROVIDERS),
    Part(
        "anthropic", ("src/app/models/anthropic.py", "tests/**/anthropic"), OF_THE_MODELS, PROVIDERS
    ),
    Part(
        "ai_sdk",
        ("src/app/wires/ai_sdk", "tests/**/ai_sdk", "examples/ai-sdk"),
        OF_THE_APPLICATION,
    ),
    Part(
        "openai_wire",
        ("src/app/wires/openai", "tests/**/openai_api", "examples/openai_client.py"),
        OF_THE_APPLICATION,
    ),
    Part("ag_ui", ("src/app/wires/ag_ui", "tests/**/ag_ui"), OF_THE_APPLICATION),
    Part(
        "examples",
        ("examples", "tests/examples", "tests/wires/*/test_example.py"),
        f"{OF_THE_PROJECT} tests/wires",
    ),
    Part("proof", ("proof",), OF_THE_PROJECT),
)


class StepFailed(Exception):
    """A command failed in a copy; the message holds all that it printed."""


def main(arguments: Sequence[str]) -> int:
    """Delete the parts that are named, or all, one by one; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m proof.deletions", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help="default: all")
    named = parser.parse_args(arguments).parts
    known = [part.name for part in PARTS]
    if unknown := set(named) - set(known):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; parts are {', '.join(known)}")
    failed = [part.name for part in PARTS if part.name in (named or known) and not _holds(part)]
    if failed:
        print(f"The repository does not hold without: {', '.join(failed)}")
    return len(failed)


def _holds(part: Part) -> bool:
    with tempfile.TemporaryDirectory(prefix=f"without-{part.name}-") as folder:
        copy = Path(folder)
        _copy_to(copy)
        delete(part, copy)
        try:
            for target in ("format", "check", "test"):
                began = time.monotonic()
                _make(copy, target, part.tests if target == "test" else "")
                print(f"without {part.name}: make {target}, {time.monotonic() - began:.0f} s")
        except StepFailed as failure:
            print(f"without {part.name}: {failure}")
            return False
    return True


def _copy_to(copy: Path) -> None:
    """Copy what git knows or would add, with the times of the files, and make it a repository."""
    listed = _run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    for name in ENVIRONMENTS:
        if (ROOT / name).exists() and not (copy / name).exists():
            (copy / name).symlink_to((ROOT / name).resolve())
    if (ROOT / ".mypy_cache").exists():
        shutil.copytree(ROOT / ".mypy_cache", copy / ".mypy_cache")
    _run(copy, "git", "init", "--quiet")
    _run(copy, "git", "add", "--all")


def delete(part: Part, copy: Path) -> None:
    """Delete a part's files, lines and blocks; raises ValueError if there is nothing to delete."""
    for pattern in part.paths:
        found = sorted(copy.glob(pattern))
        if not found:
            raise ValueError(f"{part.name}: nothing is called {pattern}")
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if part.entry_of:
        _delete_entry(part.name, copy / part.entry_of)
    for path in _marked_files(copy):
        text = path.read_text()
        without = "".join(_lines_without(part.name, text))
        if without != text:
            path.write_text(without)


def _delete_entry(name: str, path: Path) -> None:
    entry = rf'    Entry\(\n        name="{name}",\n(?:        .*\n)*    \),\n'
    text, deleted = re.subn(entry, "", path.read_text())
    if deleted != 1:
        raise ValueError(f"{path}: {deleted} entries are named {name}")
    path.write_text(text)


def _marked_files(copy: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(copy):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder, name) for name in names if Path(name).suffix in MARKED_FILES)


def _lines_without(part: str, text: str) -> Iterator[str]:
    inside = False
    for line in text.splitlines(keepends=True):
        if re.fullmatch(rf"\s*(?:#|<!--) {part}: (begin|end)(?: -->)?\n", line):
            if ("begin" in line) == inside:
                raise ValueError(f"a block of {part} is not closed, or not opened: {line.strip()}")
            inside = not inside
        elif not inside and not line.endswith((f" # {part}\n", f" # {part} -->\n")):
            yield line
    if inside:
        raise ValueError(f"a block of {part} is not closed")


def _make(copy: Path, target: str, arguments: str) -> None:
    # No file of the copy makes an environment out of date that is linked in.
    linked = [name for name in ENVIRONMENTS if (ROOT / name).exists()]
    old = [f"--assume-old={name}/.installed" for name in linked]
    command = ["make", "--no-print-directory", *old, target]
    _run(copy, *command, *([f"ARGS={arguments}"] if arguments else []))


def _run(folder: Path, *command: str) -> str:
    # What this process's own make was told is not for the copy's.
    environ = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    environ.pop("MFLAGS", None)
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise StepFailed(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
