"""The deletion of an optional part: the lines that go with it, and those that stay."""

from pathlib import Path

import pytest

from proof.deletions import PARTS, ROOT, Part, delete

TIDES = Part("tides", ("src/tides", "tests/**/tides"))

CODE = """\
from tides import keep  # tides
from gates import let_in  # gates

HOOKS = [
    keep,  # tides
    watch,  # not the tides at all
]
"""
TEMPLATE = """\
Parameters:
  # tides: begin
  HighWater:
    Type: String
  # tides: end
  Access:
    Type: String
"""
MANUAL = """\
<!-- tides: begin -->
Watch the tides.
<!-- tides: end -->
Watch the gates.
"""
ENTRY = """\
    Entry(
        name="{}",
        settings=(
            "MODELS",
        ),
    ),
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, text in {
        "src/main.py": CODE,
        "src/tides/keep.py": "",
        "src/gates/gate.py": "",
        "tests/app/tides/test_keep.py": "",
        "tests/app/test_app.py": "",
        "template.yaml": TEMPLATE,
        "docs/manual.md": MANUAL,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_its_folders_go_wherever_they_are(repository: Path) -> None:
    delete(TIDES, repository)

    assert not list(repository.rglob("tides"))
    assert (repository / "src/gates/gate.py").exists()
    assert (repository / "tests/app/test_app.py").exists()


def test_lines_that_end_in_its_name_go_and_no_others(repository: Path) -> None:
    delete(TIDES, repository)

    assert (repository / "src/main.py").read_text() == (
        "from gates import let_in  # gates\n\nHOOKS = [\n    watch,  # not the tides at all\n]\n"
    )


def test_its_blocks_go_with_their_marks(repository: Path) -> None:
    delete(TIDES, repository)

    assert (repository / "template.yaml").read_text() == (
        "Parameters:\n  Access:\n    Type: String\n"
    )
    assert (repository / "docs/manual.md").read_text() == "Watch the gates.\n"


@pytest.mark.parametrize(
    "text",
    ["# tides: begin\na\n", "a\n# tides: end\n", "# tides: begin\n# tides: begin\n"],
)
def test_a_block_without_its_beginning_or_end_is_a_mistake(repository: Path, text: str) -> None:
    (repository / "template.yaml").write_text(text)

    with pytest.raises(ValueError, match="a block of tides is not closed"):
        delete(TIDES, repository)


def test_the_entry_of_a_provider_goes(repository: Path) -> None:
    providers = repository / "src/providers.py"
    providers.write_text(f"(\n{ENTRY.format('tides')}{ENTRY.format('demo')})\n")

    delete(Part("tides", ("src/tides",), entry_of="src/providers.py"), repository)

    assert providers.read_text() == f"(\n{ENTRY.format('demo')})\n"


def test_a_provider_without_an_entry_is_a_mistake(repository: Path) -> None:
    (repository / "src/providers.py").write_text("()\n")

    with pytest.raises(ValueError, match="0 entries are named tides"):
        delete(Part("tides", ("src/tides",), entry_of="src/providers.py"), repository)


def test_a_part_whose_files_are_not_there_is_a_mistake(repository: Path) -> None:
    with pytest.raises(ValueError, match=r"hub: nothing is called src/hub"):
        delete(Part("hub", ("src/hub",)), repository)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_every_path_of_a_part_is_there(part: Part) -> None:
    assert [pattern for pattern in part.paths if not list(ROOT.glob(pattern))] == []
