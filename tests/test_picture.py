"""README's picture: it exists, and the script that takes it works."""

import re
import struct

import pytest

import picture
from local.options import PROJECT

PNG = b"\x89PNG\r\n\x1a\n"


def size_of(png: bytes) -> tuple[int, int]:
    assert png.startswith(PNG)
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_the_script_takes_all_pictures_of_the_readme() -> None:
    shown = re.findall(
        r'(?:\]\(|src(?:set)?=")(docs/[^)"]+\.png)', (PROJECT / "README.md").read_text()
    )
    taken = [path.relative_to(PROJECT).as_posix() for path in picture.PICTURES.values()]
    assert sorted(shown) == sorted(taken)
    for path in picture.PICTURES.values():
        png = path.read_bytes()
        assert len(png) <= picture.MAX_BYTES
        assert size_of(png) == tuple(side * picture.SCALE for side in picture.SIZE)


@pytest.mark.anyio
@pytest.mark.chromium
async def test_the_picture_is_taken_while_the_page_tells_about_the_take_over() -> None:
    assert size_of(await picture.picture("dark")) == (1800, 1200)


@pytest.mark.anyio
@pytest.mark.chromium
async def test_there_is_no_picture_of_a_page_that_does_not_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(picture, "KILLED_AT", 1_000_000)
    monkeypatch.setattr(picture, "PATIENCE", 5_000)
    with pytest.raises(picture.NoPicture, match="did not show the take-over"):
        await picture.picture("light")
