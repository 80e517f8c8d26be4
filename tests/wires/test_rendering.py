"""The version by which a stream is rendered."""

from dataclasses import replace

import pytest

from app.wires.rendering import of_start
from tests.wires.logs import START, of_events

VERSIONS = {1: lambda: "first", 3: lambda: "third"}


@pytest.mark.parametrize(
    ("version", "rendering"), [(1, "first"), (2, "first"), (3, "third"), (4, "third")]
)
def test_a_stream_is_rendered_as_it_was_when_it_began(version: int, rendering: str) -> None:
    """Another wire may have changed at version 2 and 4, and this one did not."""
    (record,) = of_events(start=replace(START, rendering=version))

    assert of_start(VERSIONS, record) == rendering
